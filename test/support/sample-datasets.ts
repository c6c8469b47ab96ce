/** Small data sets of every kind for tests, made of a few keyed patterns. Not used by services. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { encodePng } from '#native/pixels.js';
import { philoxBlock } from '#random/philox.js';
import { tarBytes } from './tar-writer.js';

/** `count` bytes that depend on `key` alone: a smooth gradient with noise, so that images differ and compress. */
export function patternBytes(count: number, key: number): Uint8Array {
  const words = new Uint32Array(4);
  return Uint8Array.from({ length: count }, (_, i) => {
    philoxBlock(words, { k0: key, k1: 0 }, i >>> 6, 0, 0, 0);
    return ((words[0] as number) + i) & 0xff;
  });
}

/** Class folders of PNGs of changing sizes; returns the relative paths in manifest order. */
export function writeImageFolder(folder: string, { classes = ['ant', 'bee', 'cat'], perClass = 4, size = 40 } = {}): string[] {
  const paths: string[] = [];
  classes.forEach((name, label) => {
    mkdirSync(join(folder, name), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const [width, height] = [size + 3 * i, size + 2 * label];
      writeFileSync(join(folder, name, `${i}.png`), encodePng(patternBytes(3 * width * height, 100 * label + i), width, height, 'hwc'));
      paths.push(`${name}/${i}.png`);
    }
  });
  return paths;
}

/** Tar shards of PNGs with .cls files; returns the names. Sample k of shard s has the label (s + k) % classes. */
export function writeTarShards(folder: string, { shards = 3, perShard = 5, classes = 4, prefix = 'train', size = 40 } = {}): string[] {
  mkdirSync(folder, { recursive: true });
  return Array.from({ length: shards }, (_, s) => {
    const files = Array.from({ length: perShard }, (_, k) => {
      const [width, height] = [size + k, size + 2 * s];
      const key = `${s}-${String(k).padStart(4, '0')}`;
      return [
        { name: `${key}.png`, bytes: encodePng(patternBytes(3 * width * height, 100 * s + k), width, height, 'hwc') },
        { name: `${key}.cls`, bytes: Buffer.from(String((s + k) % classes)) },
      ];
    });
    const name = `${prefix}-${String(s).padStart(4, '0')}.tar`;
    writeFileSync(join(folder, name), tarBytes(files.flat()));
    return name;
  });
}

/** CIFAR binary files of `perFile` records each. */
export function writeCifar(folder: string, kind: 'cifar10' | 'cifar100', perFile = 6): void {
  mkdirSync(folder, { recursive: true });
  const names = kind === 'cifar10' ? [1, 2, 3, 4, 5].map((k) => `data_batch_${k}.bin`).concat('test_batch.bin') : ['train.bin', 'test.bin'];
  const labelBytes = kind === 'cifar10' ? 1 : 2;
  names.forEach((name, file) => {
    const records = Array.from({ length: perFile }, (_, record) => {
      const labels = labelBytes === 1 ? [(file + record) % 10] : [record % 20, (7 * file + record) % 100];
      return Buffer.concat([Buffer.from(labels), patternBytes(3072, 1000 * file + record)]);
    });
    writeFileSync(join(folder, name), Buffer.concat(records));
  });
}

/** The bytes of an IDX file. */
export function idxBytes(dimensions: readonly number[], values: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header.set([0, 0, 0x08, dimensions.length]);
  for (const [i, dimension] of dimensions.entries()) header.writeUInt32BE(dimension, 4 + 4 * i);
  return Buffer.concat([header, values]);
}

/** An IDX pair of one split. */
export function writeIdx(folder: string, { prefix = 'train', count = 20, side = 28, classes = 5, gz = false, channels = 0 } = {}): void {
  mkdirSync(folder, { recursive: true });
  const pixels = Buffer.concat(Array.from({ length: count }, (_, i) => patternBytes(side * side * (channels || 1), i)));
  const dimensions = [count, side, side, ...(channels ? [channels] : [])];
  const images = idxBytes(dimensions, pixels);
  const labels = idxBytes(
    [count],
    Uint8Array.from({ length: count }, (_, i) => i % classes),
  );
  const suffix = gz ? '.gz' : '';
  const packed = (bytes: Buffer) => (gz ? gzipSync(bytes) : bytes);
  writeFileSync(join(folder, `${prefix}-images-idx${dimensions.length}-ubyte${suffix}`), packed(images));
  writeFileSync(join(folder, `${prefix}-labels-idx1-ubyte${suffix}`), packed(labels));
}
