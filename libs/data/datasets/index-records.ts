/** CIFAR and IDX files: every record's label and hash. */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { invalid } from '#errors/errors.js';
import { mistakenDownload } from '#errors/mistaken-download.js';
import { ManifestBuilder } from '../manifest/manifest-builder.js';
import type { RecordLayout } from '../manifest/manifest-header.js';
import { CIFAR, CIFAR_SIDE, cifarLabels, InvalidCifar } from './cifar.js';
import { InvalidIdx, idxBytes, idxFiles, idxImages, idxLabels } from './idx.js';
import { readRecordFile } from './record-file.js';
import { readRegularFile } from './regular-file.js';

const MAX_NAMES_BYTES = 16 << 20;

export interface RecordIndexOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface IndexedRecords {
  /** The folder that holds the files. */
  readonly folder: string;
  readonly classes: readonly string[];
  readonly layout: RecordLayout;
  readonly builder: ManifestBuilder;
}

/** @throws InvalidArgument where a file is missing, no file of its kind, or does not fit the others */
export async function indexIdx(root: string, split: 'train' | 'val', { signal, onProgress }: RecordIndexOptions): Promise<IndexedRecords> {
  const files = idxFiles(await readdir(root), split, root);
  const read = (file: string) => readRecordFile(join(root, file), (head) => named(file, head, () => idxBytes(head)));
  const [bytes, labelBytes] = await Promise.all([read(files.images), read(files.labels)]);
  const { count, width, height, layout } = named(files.images, bytes, () => idxImages(bytes));
  const labels = named(files.labels, labelBytes, () => idxLabels(labelBytes));
  if (labels.length !== count)
    throw invalid('data_path', root, `as many labels as images; ${files.labels} has ${labels.length}, ${files.images} ${count}`);
  const classCount = labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  const names = await classNames(join(root, 'classes.txt'));
  if (names && names.length < classCount)
    throw invalid('data_path', join(root, 'classes.txt'), `a line for each of the ${classCount} classes`);
  const classes = names ?? Array.from({ length: classCount }, (_, label) => String(label));
  const record = { path: files.images, width, height, layout, bytes, labels };
  return { folder: root, classes, layout, builder: await addRecords([record], signal, onProgress) };
}

export async function indexCifar(
  kind: 'cifar10' | 'cifar100',
  root: string,
  split: 'train' | 'val',
  { signal, onProgress }: RecordIndexOptions,
): Promise<IndexedRecords> {
  const { layout, files, classes, classesFile, folder: archiveFolder } = CIFAR[kind];
  const inner = (await readdir(root)).includes(archiveFolder) ? join(root, archiveFolder) : root;
  const present = await readdir(inner);
  const paths = files[split];
  const missing = paths.filter((file) => !present.includes(file));
  if (missing.length > 0) throw invalid('data_path', inner, `a folder with ${paths.join(', ')}; ${missing.join(', ')} is missing`);
  const read = await Promise.all(
    paths.map(async (path) => {
      const bytes = await readRecordFile(join(inner, path));
      return { path, width: CIFAR_SIDE, height: CIFAR_SIDE, layout, bytes, labels: named(path, bytes, () => cifarLabels(bytes, kind)) };
    }),
  );
  const names = await classNames(join(inner, classesFile));
  const usable = names?.length === classes.length ? names : classes;
  return { folder: inner, classes: usable, layout, builder: await addRecords(read, signal, onProgress) };
}

interface ReadRecords {
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly layout: RecordLayout;
  readonly bytes: Buffer;
  readonly labels: Uint8Array;
}

async function addRecords(
  files: readonly ReadRecords[],
  signal: AbortSignal | undefined,
  onProgress: RecordIndexOptions['onProgress'],
): Promise<ManifestBuilder> {
  const total = files.reduce((sum, { labels }) => sum + labels.length, 0);
  const builder = new ManifestBuilder(false);
  for (const { path, width, height, layout, bytes, labels } of files) {
    for (let record = 0; record < labels.length; record++) {
      const start = layout.headerBytes + record * layout.recordBytes;
      const hash = sha256(bytes.subarray(start, start + layout.recordBytes));
      builder.add({ path, record, label: labels[record] as number, width, height, byteLength: layout.recordBytes, sha256: hash });
      if (builder.samples % 1000 === 0) {
        onProgress?.(builder.samples, total);
        await nextTurn();
        signal?.throwIfAborted();
      }
    }
  }
  onProgress?.(total, total);
  return builder;
}

function named<T>(file: string, start: Uint8Array, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof InvalidIdx || error instanceof InvalidCifar)
      throw invalid('data_path', file, `a whole file of its format (${mistakenDownload(start) ?? error.why})`);
    throw error;
  }
}

/** A name a line; undefined where there is no such file. */
async function classNames(path: string): Promise<string[] | undefined> {
  const text = await readRegularFile(path, MAX_NAMES_BYTES).catch(() => undefined);
  const names = text
    ?.toString('utf8')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return names && names.length > 0 ? names : undefined;
}

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
