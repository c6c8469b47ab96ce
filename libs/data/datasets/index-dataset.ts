/** Reads every sample of a data set once and writes down what it is: the manifest. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { invalid } from '#errors/errors.js';
import { sha256Of } from '#storage/content-hash.js';
import type { ManifestBuilder } from '../manifest/manifest-builder.js';
import type { DatasetKind, RecordLayout } from '../manifest/manifest-header.js';
import type { AllowedRoots } from './allowed-roots.js';
import { CIFAR } from './cifar.js';
import { indexImageFolder } from './index-image-folder.js';
import { IndexMemory } from './index-memory.js';
import { indexCifar, indexIdx } from './index-records.js';
import { type IndexedShards, indexTarShards, shardsOf } from './index-tar.js';
import { LocalTree } from './local-tree.js';

export interface IndexOptions {
  /** Default: told from the files. */
  readonly kind?: DatasetKind | undefined;
  /** train; val or test (the same); '' or absent: an image folder's own class folders, otherwise train. */
  readonly split?: string | undefined;
  /** A folder that remembers what was read, so that unchanged files are not read again and a stopped run goes on. Default: none. */
  readonly memory?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Samples read so far, of all. Called at most every 100 ms, and at the end. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface IndexedDataset {
  /** SHA-256 of the manifest: its name. */
  readonly sha256: string;
  readonly bytes: Uint8Array;
  /** What the manifest's paths are relative to: the real path of a folder, or the URI of a store. */
  readonly folder: string;
  readonly kind: DatasetKind;
  readonly samples: number;
  readonly classes: readonly string[];
  /** Files that look like images by name but whose header cannot be read: not in the manifest. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  /** Files of other types. */
  readonly ignored: number;
  /** Samples known from earlier, whose files have not changed and were not read. */
  readonly unchanged: number;
}

export interface FoundSamples {
  readonly folder: string;
  readonly classes: readonly string[];
  readonly builder: ManifestBuilder;
  readonly layout?: RecordLayout;
  readonly shards?: IndexedShards['shards'];
  readonly skipped?: IndexedDataset['skipped'];
  readonly ignored?: number;
  readonly unchanged?: number;
}

/** @throws NotFound, PermissionDenied, InvalidArgument (not a data set of that kind), or the signal's reason */
export async function indexDataset(roots: AllowedRoots, path: string, options: IndexOptions = {}): Promise<IndexedDataset> {
  const root = await roots.resolve(path);
  const split = normalSplit(options.split ?? '');
  const kind = options.kind ?? (await detectKind(root, split));
  const found = await find(kind, root, split, { ...options, onProgress: throttled(options.onProgress) });
  return await finishIndex(kind, split, found, options.signal);
}

/** Writes down what was found. */
export async function finishIndex(kind: DatasetKind, split: string, found: FoundSamples, signal?: AbortSignal): Promise<IndexedDataset> {
  const { folder, classes, builder, layout, shards, skipped = [], ignored = 0, unchanged = 0 } = found;
  const bytes = builder.bytes({ kind, split, classes, layout, shards });
  const name = await sha256Of(bytes, signal);
  return { sha256: name, bytes, folder, kind, samples: builder.samples, classes, skipped, ignored, unchanged };
}

async function find(kind: DatasetKind, root: string, split: Split, options: IndexOptions): Promise<FoundSamples> {
  if (kind === 'image_folder') {
    const folder = split === '' ? root : await splitFolder(root, split);
    const memory = options.memory === undefined ? undefined : await IndexMemory.open(options.memory, folder);
    return { folder, ...(await indexImageFolder(new LocalTree(folder), { ...options, memory })) };
  }
  if (kind === 'tar') return await indexShards(root, split, options);
  return kind === 'idx' ? await indexIdx(root, split || 'train', options) : await indexCifar(kind, root, split || 'train', options);
}

async function indexShards(root: string, split: Split, options: IndexOptions): Promise<FoundSamples> {
  const inside = split === '' ? undefined : await splitFolder(root, split).catch(() => undefined);
  const folder = inside ?? root;
  const tree = new LocalTree(folder);
  const names = shardsOf((await tree.list()).files, inside === undefined ? split : '');
  if (names.length === 0)
    throw invalid('data_path', folder, `a folder with .tar files${split === '' ? '' : ` that have ${split} in their names`}`);
  const memory = options.memory === undefined ? undefined : await IndexMemory.open(options.memory, folder);
  return { folder, ...(await indexTarShards(tree, names, { ...options, memory })) };
}

type Split = '' | 'train' | 'val';

function normalSplit(split: string): Split {
  if (split === '' || split === 'train' || split === 'val') return split;
  if (split === 'test') return 'val';
  throw invalid('split', split, 'train, val or test, or empty');
}

async function detectKind(root: string, split: Split): Promise<DatasetKind> {
  const names = await readdir(root).catch((cause) => {
    throw invalid('data_path', root, `a folder (${(cause as Error).message})`);
  });
  for (const kind of ['cifar10', 'cifar100'] as const) {
    const { files, folder } = CIFAR[kind];
    if (names.includes(folder) || [...files.train, ...files.val].some((file) => names.includes(file))) return kind;
  }
  // An archive beside class folders is what they were unpacked from.
  const { folders, files } = await new LocalTree((split && (await splitFolder(root, split).catch(() => undefined))) || root).list();
  if (folders.length === 0 && files.some((name) => /\.tar$/i.test(name))) return 'tar';
  return names.some((name) => /[-_.]idx[134][-_.]ubyte(\.gz)?$/i.test(name)) ? 'idx' : 'image_folder';
}

async function splitFolder(root: string, split: 'train' | 'val'): Promise<string> {
  const names = split === 'train' ? ['train'] : ['val', 'test'];
  const present = await readdir(root);
  const name = names.find((one) => present.includes(one));
  if (name === undefined) throw invalid('data_path', root, `a folder that has ${names.join(' or ')} in it`);
  return join(root, name);
}

/** At most ten reports a second, and the last one. */
export function throttled(report: IndexOptions['onProgress']): IndexOptions['onProgress'] {
  if (!report) return undefined;
  let last = 0;
  return (done, total) => {
    const now = performance.now();
    if (done !== total && now - last < 100) return;
    last = now;
    report(done, total);
  };
}
