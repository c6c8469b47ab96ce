/** Reads every sample of a data set once and writes down what it is: the manifest. */
import { readdir } from 'node:fs/promises';
import { invalid } from '#errors/errors.js';
import { sha256Of } from '#storage/content-hash.js';
import type { ManifestBuilder } from '../manifest/manifest-builder.js';
import type { DatasetKind, RecordLayout } from '../manifest/manifest-header.js';
import type { AllowedRoots } from './allowed-roots.js';
import { CIFAR } from './cifar.js';
import { byCodePoint } from './code-points.js';
import type { FileTree } from './file-tree.js';
import { listLabelledImages } from './image-folder.js';
import { findLabels, readLabels } from './image-labels.js';
import { indexImageFolder } from './index-image-folder.js';
import { IndexMemory } from './index-memory.js';
import { indexCifar, indexIdx } from './index-records.js';
import { chooseShards, haveShards, type IndexedShards, indexTarShards } from './index-tar.js';
import { checkLeftOut } from './left-out.js';
import { LocalTree } from './local-tree.js';
import { findSplit, normalSplit, type Split, splitFolder } from './splits.js';

export interface IndexOptions {
  /** Default: told from the files. */
  readonly kind?: DatasetKind | undefined;
  /** train; val, valid, validation or test (the same); '' or absent: an image folder's own class folders, otherwise train. */
  readonly split?: string | undefined;
  /** A folder that remembers what was read, so that unchanged files are not read again and a stopped run goes on. Default: none. */
  readonly memory?: string | undefined;
  /** Share of the images that may be left out because they cannot be read. Default 0.001, as the run option of that name. */
  readonly maxUndecodable?: number | undefined;
  /** The number of classes where it is known; labels are not doubted then. Default: the largest label and one. */
  readonly nbClasses?: number | undefined;
  /** Image folders only: the file that has the labels of images without class folders. Default: one that is known by name, if there are none. */
  readonly labels?: string | undefined;
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
  /** What is odd and harmless, in whole sentences. */
  readonly warnings: readonly string[];
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
  readonly warnings?: readonly string[];
}

/** @throws NotFound, PermissionDenied, InvalidArgument (not a data set of that kind), or the signal's reason */
export async function indexDataset(roots: AllowedRoots, path: string, options: IndexOptions = {}): Promise<IndexedDataset> {
  const root = await roots.resolve(path);
  const split = normalSplit(options.split ?? '');
  const kind = options.kind ?? (await detectKind(root, split, roots));
  const found = await find(kind, root, split, roots, { ...options, onProgress: throttled(options.onProgress) });
  return await finishIndex(kind, split, found, options);
}

/** Writes down what was found. @throws InvalidArgument where more was left out than may be */
export async function finishIndex(
  kind: DatasetKind,
  split: string,
  found: FoundSamples,
  { maxUndecodable, signal }: Pick<IndexOptions, 'maxUndecodable' | 'signal'>,
): Promise<IndexedDataset> {
  const { folder, classes, builder, layout, shards, skipped = [], ignored = 0, unchanged = 0, warnings = [] } = found;
  checkLeftOut(skipped, builder.samples, folder, maxUndecodable);
  const bytes = builder.bytes({ kind, split, classes, layout, shards });
  const name = await sha256Of(bytes, signal);
  return { sha256: name, bytes, folder, kind, samples: builder.samples, classes, skipped, ignored, unchanged, warnings };
}

async function find(kind: DatasetKind, root: string, split: Split, roots: AllowedRoots, options: IndexOptions): Promise<FoundSamples> {
  if (kind === 'image_folder') {
    const folder = split === '' ? root : await roots.resolve(await splitFolder(root, split));
    const memory = options.memory === undefined ? undefined : await IndexMemory.open(options.memory, folder);
    const tree = new LocalTree(folder, roots);
    const labels = await labelsFor(tree, root, roots, options.labels);
    if (labels === undefined) return { folder, ...(await indexImageFolder(tree, { ...options, memory })) };
    const trainClasses = split === 'val' ? await classesOfTraining(root, roots) : [];
    const read = (images: readonly string[]) => readLabels(labels, images, trainClasses);
    const list = (of: FileTree, signal?: AbortSignal) => listLabelledImages(of, read, signal);
    return { folder, ...(await indexImageFolder(tree, { ...options, memory }, list)) };
  }
  if (kind === 'tar') return await indexShards(root, split, roots, options);
  return kind === 'idx' ? await indexIdx(root, split || 'train', options) : await indexCifar(kind, root, split || 'train', options);
}

/** Images without class folders have their labels in a file. undefined: they have class folders, or no file is found. */
async function labelsFor(tree: LocalTree, root: string, roots: AllowedRoots, given: string | undefined): Promise<string | undefined> {
  if (given !== undefined) return given;
  const { folders } = await tree.list();
  // Tiny ImageNet has all of them in one folder of this name.
  if (folders.some((name) => name.toLowerCase() !== 'images')) return undefined;
  return await findLabels(roots, [tree.place, root]);
}

async function classesOfTraining(root: string, roots: AllowedRoots): Promise<string[]> {
  const train = await findSplit(root, 'train');
  if (train === undefined) return [];
  return (await new LocalTree(await roots.resolve(train), roots).list()).folders.sort(byCodePoint);
}

async function indexShards(root: string, split: Split, roots: AllowedRoots, options: IndexOptions): Promise<FoundSamples> {
  const inside = split === '' ? undefined : await findSplit(root, split);
  const folder = inside === undefined ? root : await roots.resolve(inside);
  const tree = new LocalTree(folder, roots);
  const { files } = await tree.list();
  const names = chooseShards(files, inside === undefined ? split : '', folder);
  const memory = options.memory === undefined ? undefined : await IndexMemory.open(options.memory, folder);
  return { folder, ...(await indexTarShards(tree, names, { ...options, memory })) };
}

async function detectKind(root: string, split: Split, roots: AllowedRoots): Promise<DatasetKind> {
  const names = await readdir(root).catch((cause) => {
    throw invalid('data_path', root, `a folder (${(cause as Error).message})`);
  });
  for (const kind of ['cifar10', 'cifar100'] as const) {
    const { files, folder } = CIFAR[kind];
    if (names.includes(folder) || [...files.train, ...files.val].some((file) => names.includes(file))) return kind;
  }
  // An archive beside class folders is what they were unpacked from.
  const part = split === '' ? undefined : await findSplit(root, split);
  const { folders, files } = await new LocalTree(part === undefined ? root : await roots.resolve(part), roots).list();
  if (folders.length === 0 && haveShards(files)) return 'tar';
  return names.some((name) => /[-_.]idx[134][-_.]ubyte(\.gz)?$/i.test(name)) ? 'idx' : 'image_folder';
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
