/** Reads every sample of a data set once and writes down what it is: the manifest. */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { readHeader } from '#native/pixels.js';
import { invalid } from '#rpc/errors.js';
import { type DatasetKind, encodeManifest, type ManifestEntry, type RecordLayout } from '../manifest.js';
import type { AllowedRoots } from './allowed-roots.js';
import { CIFAR, CIFAR_SIDE, cifarLabels, InvalidCifar } from './cifar.js';
import { InvalidIdx, idxFiles, idxImages, idxLabels } from './idx.js';
import { listImageFolder } from './image-folder.js';
import { readRecordFile } from './record-file.js';

export interface IndexOptions {
  /** Default: told from the files. */
  readonly kind?: DatasetKind | undefined;
  /** train; val or test (the same); '' or absent: an image folder's own class folders, otherwise train. */
  readonly split?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Samples read so far, of all. Called at most every 100 ms, and at the end. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface IndexedDataset {
  /** SHA-256 of the manifest: its name. */
  readonly sha256: string;
  readonly bytes: Uint8Array;
  /** The folder that the manifest's paths are relative to; real path. */
  readonly folder: string;
  readonly kind: DatasetKind;
  readonly samples: number;
  readonly classes: readonly string[];
  /** Files that look like images by name but whose header cannot be read: not in the manifest. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  /** Files of other types. */
  readonly ignored: number;
}

/** Image files read at a time. */
const PARALLEL = 16;
const MAX_IMAGE_BYTES = 512 << 20;

interface Found {
  readonly folder: string;
  readonly classes: readonly string[];
  readonly entries: ManifestEntry[];
  readonly layout?: RecordLayout;
  readonly skipped?: IndexedDataset['skipped'];
  readonly ignored?: number;
}

/** @throws NotFound, PermissionDenied, InvalidArgument (not a data set of that kind), or the signal's reason */
export async function indexDataset(roots: AllowedRoots, path: string, options: IndexOptions = {}): Promise<IndexedDataset> {
  const root = await roots.resolve(path);
  const split = normalSplit(options.split ?? '');
  const kind = options.kind ?? (await detectKind(root));
  const found = await find(kind, root, split, { ...options, onProgress: throttled(options.onProgress) });
  const manifest = encodeManifest({ kind, split, classes: found.classes, layout: found.layout, entries: found.entries });
  const { folder, classes, skipped = [], ignored = 0 } = found;
  return { ...manifest, folder, kind, samples: found.entries.length, classes, skipped, ignored };
}

function find(kind: DatasetKind, root: string, split: Split, options: IndexOptions): Promise<Found> {
  if (kind === 'image_folder') return indexImageFolder(root, split, options);
  return kind === 'idx' ? indexIdx(root, split || 'train', options) : indexCifar(kind, root, split || 'train', options);
}

type Split = '' | 'train' | 'val';

function normalSplit(split: string): Split {
  if (split === '' || split === 'train' || split === 'val') return split;
  if (split === 'test') return 'val';
  throw invalid('split', split, 'train, val or test, or empty');
}

async function detectKind(root: string): Promise<DatasetKind> {
  const names = await readdir(root).catch((cause) => {
    throw invalid('data_path', root, `a folder (${(cause as Error).message})`);
  });
  for (const kind of ['cifar10', 'cifar100'] as const) {
    const { files, folder } = CIFAR[kind];
    if (names.includes(folder) || [...files.train, ...files.val].some((file) => names.includes(file))) return kind;
  }
  return names.some((name) => /[-_.]idx[134][-_.]ubyte(\.gz)?$/i.test(name)) ? 'idx' : 'image_folder';
}

async function indexImageFolder(root: string, split: Split, { signal, onProgress }: IndexOptions): Promise<Found> {
  const folder = split === '' ? root : await splitFolder(root, split);
  const { classes, files, ignored } = await listImageFolder(folder, signal);
  const entries = new Array<ManifestEntry | undefined>(files.length);
  const skipped: { path: string; reason: string }[] = [];
  let next = 0;
  let done = 0;
  onProgress?.(0, files.length);
  const work = async (): Promise<void> => {
    while (next < files.length) {
      const index = next++;
      const { path, label } = files[index] as { path: string; label: number };
      signal?.throwIfAborted();
      try {
        const { size } = await stat(join(folder, path));
        if (size > MAX_IMAGE_BYTES) throw new Error(`${size} bytes, at most ${MAX_IMAGE_BYTES} are read`);
        const bytes = await readFile(join(folder, path));
        const { width, height } = readHeader(bytes);
        entries[index] = { path, record: 0, label, width, height, byteLength: bytes.byteLength, sha256: sha256(bytes) };
      } catch (error) {
        skipped.push({ path, reason: error instanceof Error ? error.message : String(error) });
      }
      onProgress?.(++done, files.length);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  const good = entries.filter((entry) => entry !== undefined);
  if (good.length === 0) throw invalid('data_path', folder, `a folder with readable images; the first fails: ${skipped[0]?.reason}`);
  skipped.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { folder, classes, entries: good, skipped, ignored };
}

async function splitFolder(root: string, split: 'train' | 'val'): Promise<string> {
  const names = split === 'train' ? ['train'] : ['val', 'test'];
  const present = await readdir(root);
  const name = names.find((one) => present.includes(one));
  if (name === undefined) throw invalid('data_path', root, `a folder that has ${names.join(' or ')} in it`);
  return join(root, name);
}

async function indexIdx(root: string, split: 'train' | 'val', { signal, onProgress }: IndexOptions): Promise<Found> {
  const files = idxFiles(await readdir(root), split, root);
  const [bytes, labelBytes] = await Promise.all([readRecordFile(join(root, files.images)), readRecordFile(join(root, files.labels))]);
  const { count, width, height, layout } = named(files.images, () => idxImages(bytes));
  const labels = named(files.labels, () => idxLabels(labelBytes));
  if (labels.length !== count)
    throw invalid('data_path', root, `as many labels as images; ${files.labels} has ${labels.length}, ${files.images} ${count}`);
  const classCount = labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  const names = await classNames(join(root, 'classes.txt'));
  if (names && names.length < classCount)
    throw invalid('data_path', join(root, 'classes.txt'), `a line for each of the ${classCount} classes`);
  const classes = names ?? Array.from({ length: classCount }, (_, label) => String(label));
  const record = { path: files.images, width, height, layout, bytes, labels };
  return { folder: root, classes, layout, entries: await recordEntries([record], signal, onProgress) };
}

async function indexCifar(
  kind: 'cifar10' | 'cifar100',
  root: string,
  split: 'train' | 'val',
  { signal, onProgress }: IndexOptions,
): Promise<Found> {
  const { layout, files, classes, classesFile, folder: archiveFolder } = CIFAR[kind];
  const inner = (await readdir(root)).includes(archiveFolder) ? join(root, archiveFolder) : root;
  const present = await readdir(inner);
  const paths = files[split].filter((file) => present.includes(file));
  if (paths.length === 0) throw invalid('data_path', inner, `a folder with ${files[split].join(', ')}`);
  const read = await Promise.all(
    paths.map(async (path) => {
      const bytes = await readRecordFile(join(inner, path));
      return { path, width: CIFAR_SIDE, height: CIFAR_SIDE, layout, bytes, labels: named(path, () => cifarLabels(bytes, kind)) };
    }),
  );
  const names = await classNames(join(inner, classesFile));
  const usable = names?.length === classes.length ? names : classes;
  return { folder: inner, classes: usable, layout, entries: await recordEntries(read, signal, onProgress) };
}

interface ReadRecords {
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly layout: RecordLayout;
  readonly bytes: Buffer;
  readonly labels: Uint8Array;
}

async function recordEntries(
  files: readonly ReadRecords[],
  signal: AbortSignal | undefined,
  onProgress: IndexOptions['onProgress'],
): Promise<ManifestEntry[]> {
  const total = files.reduce((sum, { labels }) => sum + labels.length, 0);
  const entries: ManifestEntry[] = [];
  for (const { path, width, height, layout, bytes, labels } of files) {
    for (let record = 0; record < labels.length; record++) {
      const start = layout.headerBytes + record * layout.recordBytes;
      const hash = sha256(bytes.subarray(start, start + layout.recordBytes));
      entries.push({ path, record, label: labels[record] as number, width, height, byteLength: layout.recordBytes, sha256: hash });
      if (entries.length % 1000 === 0) {
        onProgress?.(entries.length, total);
        await nextTurn();
        signal?.throwIfAborted();
      }
    }
  }
  onProgress?.(total, total);
  return entries;
}

function named<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof InvalidIdx || error instanceof InvalidCifar)
      throw invalid('data_path', file, `a whole file of its format (${error.why})`);
    throw error;
  }
}

/** A name a line; undefined where there is no such file. */
async function classNames(path: string): Promise<string[] | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  const names = text
    ?.split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return names && names.length > 0 ? names : undefined;
}

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

function throttled(report: IndexOptions['onProgress']): IndexOptions['onProgress'] {
  if (!report) return undefined;
  let last = 0;
  return (done, total) => {
    const now = performance.now();
    if (done !== total && now - last < 100) return;
    last = now;
    report(done, total);
  };
}
