/** The formats that are damaged: where whole files come from, and what the readers make of a damaged one. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { DatasetReader } from '#data/datasets/dataset-reader.js';
import { FolderSource } from '#data/datasets/folder-source.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { Manifest } from '#data/manifest/manifest.js';
import { bytesSource } from '#interchange/byte-source.js';
import { openWeightFile } from '#interchange/weight-file.js';
import { checkImage } from '#native/pixels/check-image.js';
import { FOREIGN_FORMATS, type ForeignFormat, foreignFormat, isForeign } from '#native/pixels/foreign/formats.js';
import type { RenderSource } from '#native/pixels/plan-types.js';
import { inflateScanlines, readPngLayout } from '#native/pixels/png-scanlines.js';
import { decode, readHeader } from '#native/pixels.js';
import { encodeSafetensors } from '#storage/safetensors.js';
import { writeCifar, writeIdx } from '../support/sample-datasets.js';
import type { Damage } from './mutate.js';

const corpus = fileURLToPath(new URL('./corpus/', import.meta.url));
const foreignFolder = fileURLToPath(new URL('../../libs/native/pixels/foreign/test-data/', import.meta.url));
const corpusFiles = (ending: string) =>
  readdirSync(corpus)
    .filter((name) => name.endsWith(ending))
    .sort();

export const FORMATS = ['jpeg', 'png', 'idx', 'cifar', 'tar', ...FOREIGN_FORMATS, 'weights'] as const;
export type Format = (typeof FORMATS)[number];

/** A damaged file as its reader takes it. */
export interface Damaged {
  readonly name: string;
  readonly bytes: Buffer;
  /** The images in it; throws what refuses it. */
  readonly images: () => Promise<RenderSource[]>;
}

export interface FormatUnderTest {
  damage(damage: Damage): Promise<Damaged>;
  close(): void;
}

/** At most this many images of a data set are decoded. */
const MOST_IMAGES = 4;

type DamageTo = (file: Buffer, other: Buffer, damage: Damage) => Buffer | Promise<Buffer>;

const anywhere: DamageTo = (file, other, damage) => damage.apply(file, other);

/** Files of which one is damaged each time. `images` reads it. */
function wholeFiles(
  files: readonly { readonly name: string; readonly bytes: Buffer }[],
  images: (damaged: Buffer) => Promise<RenderSource[]>,
  damageTo = anywhere,
): FormatUnderTest {
  return {
    async damage(damage) {
      const { name, bytes } = damage.pick(files);
      const damaged = await damageTo(bytes, damage.pick(files).bytes, damage);
      return { name, bytes: damaged, images: () => images(damaged) };
    },
    close: () => {},
  };
}

const filesIn = (folder: string, names: readonly string[]) => names.map((name) => ({ name, bytes: readFileSync(join(folder, name)) }));

function images(format: 'jpeg' | 'png', ending: string, damageTo = anywhere): FormatUnderTest {
  const header = async (bytes: Buffer) => {
    const { width, height } = readHeader(bytes);
    return [{ format, bytes, width, height }];
  };
  return wholeFiles(filesIn(corpus, corpusFiles(ending)), header, damageTo);
}

/** In three of four files the damage is done to the scanlines, which are then packed again: zlib would refuse nearly all of it otherwise. */
async function damagedPng(file: Buffer, other: Buffer, damage: Damage): Promise<Buffer> {
  if (damage.chance(0.25)) return damage.apply(file, other);
  const packed = deflateSync(damage.apply(await inflateScanlines(readPngLayout(file)), other));
  const [before, after] = [file.indexOf('IDAT') - 4, file.indexOf('IEND') - 4];
  const chunk = Buffer.alloc(12 + packed.length);
  chunk.writeUInt32BE(packed.length, 0);
  chunk.write('IDAT', 4, 'latin1');
  packed.copy(chunk, 8);
  return Buffer.concat([file.subarray(0, before), chunk, file.subarray(after)]);
}

/** Files of a format that worker threads decode; what they give goes on as plain pixels. */
function foreign(format: ForeignFormat): FormatUnderTest {
  const files = filesIn(foreignFolder, readdirSync(foreignFolder).sort()).filter(({ bytes }) => foreignFormat(bytes) === format);
  return wholeFiles(files, async (bytes) => {
    const indexed = refusalOf(() => checkImage(bytes));
    try {
      const { width, height, rgb } = await decode({ ...readHeader(bytes), bytes });
      // What indexing leaves out would never be decoded.
      if (indexed !== undefined) throw new RangeError(`indexing refuses a file that decodes: ${indexed}`);
      return [{ format: 'rgb', bytes: rgb, width, height }];
    } catch (error) {
      // A thread that had to be ended is a failure of the decoder, not of the file.
      if (/took longer|decoder ended/.test((error as Error).message)) throw new RangeError((error as Error).message, { cause: error });
      throw error;
    }
  });
}

/** Files of weights. They hold no images: one pixel says that all of their tensors were read. */
function weights(): FormatUnderTest {
  const tensor = { name: 'w', dtype: 'F32' as const, shape: [2, 3], data: new Float32Array(6) };
  const pth = fileURLToPath(new URL('../../libs/interchange/pth/test-data/', import.meta.url));
  const safetensors = Buffer.concat(encodeSafetensors([tensor, { ...tensor, name: 'v' }], { a: 'b' }));
  const files = [...filesIn(pth, ['reference-form.pth']), { name: 'w.safetensors', bytes: safetensors }];
  return wholeFiles(files, async (bytes) => {
    const { entries } = await openWeightFile(bytesSource(bytes));
    for (const entry of entries) await entry.read();
    return [{ format: 'rgb', bytes: new Uint8Array(3), width: 1, height: 1 }];
  });
}

/** The message of what is thrown; undefined: nothing is. */
function refusalOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A data set in a folder of which one file is damaged each time. */
function dataset(write: (folder: string) => void, split: string, damagedFiles: RegExp): FormatUnderTest {
  const base = mkdtempSync(join(tmpdir(), 'dropstream-fuzz-'));
  const folder = join(base, 'set');
  mkdirSync(folder);
  write(folder);
  const whole = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
  const names = [...whole.keys()].filter((name) => damagedFiles.test(name)).sort();
  return {
    async damage(damage) {
      const name = damage.pick(names);
      const bytes = damage.apply(whole.get(name)!, whole.get(damage.pick(names))!);
      return {
        name,
        bytes,
        images: async () => {
          writeFileSync(join(folder, name), bytes);
          try {
            return await readImages(folder, split);
          } finally {
            writeFileSync(join(folder, name), whole.get(name)!);
          }
        },
      };
    },
    close: () => rmSync(base, { recursive: true, force: true }),
  };
}

async function readImages(folder: string, split: string): Promise<RenderSource[]> {
  const roots = await AllowedRoots.open([folder]);
  const indexed = await indexDataset(roots, folder, { split });
  const manifest = new Manifest(indexed.bytes, indexed.sha256);
  const reader = new DatasetReader(manifest, new FolderSource(manifest, indexed.folder, roots));
  try {
    return await Promise.all(Array.from({ length: Math.min(MOST_IMAGES, manifest.samples) }, (_, sample) => reader.read(sample)));
  } finally {
    await reader.close();
  }
}

export function openFormat(format: Format): FormatUnderTest {
  if (isForeign(format)) return foreign(format);
  switch (format) {
    case 'weights':
      return weights();
    case 'jpeg':
      return images('jpeg', '.jpg');
    case 'png':
      return images('png', '.png', damagedPng);
    case 'idx':
      return dataset((folder) => writeIdx(folder, { count: 6, side: 12 }), 'train', /^train-/);
    case 'cifar':
      return dataset((folder) => writeCifar(folder, 'cifar10', 1), 'train', /^data_batch/);
    case 'tar':
      return dataset(
        (folder) => {
          for (const { name, bytes } of filesIn(corpus, corpusFiles('.tar'))) writeFileSync(join(folder, name), bytes);
        },
        '',
        /\.tar$/,
      );
  }
}
