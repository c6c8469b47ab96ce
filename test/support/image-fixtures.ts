/** Images of the shared folder for pixel tests. PNGs are read with pngjs, so that expectations do not pass through the code under test. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { PNG } from 'pngjs';
import { sharedPath } from './shared-folder.js';

export interface RgbImage {
  width: number;
  height: number;
  /** Interleaved rows. */
  rgb: Uint8Array;
}

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** First `limit` regular files of a (gzipped) tar that `wanted` accepts. */
export function tarFiles(path: string, wanted: (name: string) => boolean, limit = Number.POSITIVE_INFINITY): Map<string, Uint8Array> {
  const packed = readFileSync(path);
  const tar = path.endsWith('.gz') ? gunzipSync(packed) : packed;
  const text = (at: number, length: number) => tar.toString('latin1', at, at + length).replace(/\0.*$/s, '');
  const files = new Map<string, Uint8Array>();
  for (let at = 0; at + 512 <= tar.length && files.size < limit; ) {
    const size = Number.parseInt(text(at + 124, 12).trim() || '0', 8);
    const prefix = text(at + 345, 155);
    const name = (prefix ? `${prefix}/` : '') + text(at, 100);
    const type = text(at + 156, 1);
    if ((type === '0' || type === '') && name && wanted(name)) files.set(name, tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

export function readPng(path: string): RgbImage {
  const { width, height, data } = PNG.sync.read(readFileSync(path));
  const rgb = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[4 * i + c]!;
  return { width, height, rgb };
}

/** Planes to interleaved rows. */
export function interleaved(planes: Uint8Array): Uint8Array {
  const area = planes.length / 3;
  return Uint8Array.from(planes, (_, i) => planes[(i % 3) * area + Math.floor(i / 3)]!);
}

/** The folder of augmentation fixtures, or undefined. */
export const augmentFolder = sharedPath('fixtures', 'augment');
export const imagenetTar = sharedPath('data', 'imagenet-500.tar');

// biome-ignore lint/suspicious/noExplicitAny: fixture files are described in their README
export type Fixture = any;

export function augmentFixtures(): Fixture {
  return JSON.parse(readFileSync(join(augmentFolder!, 'augment.json'), 'utf8'));
}
