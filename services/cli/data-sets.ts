/** Indexes data sets from the command line into the object store that the services use. */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { type IndexedDataset, type IndexOptions, indexDataset } from '#data/datasets/index-dataset.js';
import type { DatasetKind } from '#data/manifest/manifest-header.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { indexInStore } from '#data/sources/index-in-store.js';
import { InvalidArgument, invalid, NotFound } from '#errors/errors.js';
import { openStore } from '#storage/open-store.js';
import { type Context, homeFolder } from './context.js';
import { CommandError } from './exit-codes.js';
import { bar, count } from './output/numbers.js';

/** Names of data set formats that users may give, those of the reference among them. */
const kinds: Readonly<Record<string, DatasetKind>> = {
  imnet: 'image_folder',
  image_folder: 'image_folder',
  tar: 'tar',
  webdataset: 'tar',
  cifar: 'cifar100',
  cifar100: 'cifar100',
  cifar10: 'cifar10',
  idx: 'idx',
  mnist: 'idx',
};

/** @throws InvalidArgument for an unknown name */
export function datasetKind(name: string | undefined): DatasetKind | undefined {
  if (!name) return undefined;
  return kinds[name.toLowerCase()] ?? refuseKind(name);
}

function refuseKind(name: string): never {
  throw invalid('data_set', name, 'IMNET, image_folder, tar, CIFAR, cifar10, cifar100 or idx');
}

export interface IndexRequest {
  readonly path: string;
  readonly split: string;
  readonly kind: DatasetKind | undefined;
  readonly store: string;
}

/** Reads every sample that is new or has changed and stores the manifest. Shows progress and names files that are not images. */
export async function indexAndSave(
  request: IndexRequest,
  context: Pick<Context, 'terminal' | 'cwd' | 'env' | 'signal'>,
): Promise<IndexedDataset> {
  const { signal } = context;
  const dataset = await indexAt(request, context);
  const store = await openStore(request.store, { env: context.env, signal });
  try {
    await saveManifest(store, dataset, signal);
  } finally {
    await store.close();
  }
  return dataset;
}

/** Like indexAndSave, but stores nothing. The path is a folder, or s3://bucket/prefix?endpoint=… for a data set in an object store. */
export async function indexAt(
  { path: given, kind, split }: Omit<IndexRequest, 'store'>,
  context: Pick<Context, 'terminal' | 'cwd' | 'env' | 'signal'>,
): Promise<IndexedDataset> {
  const { terminal, signal } = context;
  const inStore = given.startsWith('s3://');
  const path = inStore ? given : resolve(context.cwd, given);
  const onProgress = progressLines(terminal, `indexing ${path}`, (done, total) => `${count(done)} of ${count(total)}`);
  const options = { kind, signal, onProgress, memory: join(homeFolder(context), 'index') };
  const dataset = inStore
    ? await indexStore(path, split, options, context)
    : await indexDataset(await AllowedRoots.open([path]), path, { ...options, split });
  terminal.status('');
  for (const { path: file, reason } of dataset.skipped.slice(0, 5)) terminal.err(`left out ${file}: ${reason}`);
  if (dataset.skipped.length > 5) terminal.err(`left out ${dataset.skipped.length} files in all`);
  return dataset;
}

async function indexStore(uri: string, split: string, options: IndexOptions, { env, signal }: Pick<Context, 'env' | 'signal'>) {
  if (split !== '') throw invalid('split', split, 'left out for a data set in an object store: name the folder of the split in the URI');
  const store = await openStore(uri, { env, signal, probe: false });
  try {
    return await indexInStore(store, options);
  } finally {
    await store.close();
  }
}

/** Shows progress: a bar on a terminal, otherwise a line every five seconds. */
export function progressLines<Counts extends [number, number, ...number[]]>(
  terminal: Context['terminal'],
  title: string,
  say: (...counts: Counts) => string,
): (...counts: Counts) => void {
  let lastLine = performance.now();
  return (...counts) => {
    terminal.status(`${title}  ${bar(counts[0] / Math.max(1, counts[1]))} ${say(...counts)}`);
    if (terminal.interactive || performance.now() - lastLine < 5000) return;
    lastLine = performance.now();
    terminal.err(`${title}: ${say(...counts)}`);
  };
}

export interface Manifests {
  readonly train: IndexedDataset;
  /** Undefined if no evaluation images were found. */
  readonly evaluation: IndexedDataset | undefined;
}

/** Finds training and evaluation images as the reference does: train/ and val/ in data_path, or eval_data_path; CIFAR and IDX have both. */
export async function indexForTraining(
  data: Readonly<Record<string, string>>,
  store: string,
  context: Pick<Context, 'terminal' | 'cwd' | 'env' | 'signal'>,
): Promise<Manifests> {
  const kind = datasetKind(data.data_set);
  const path = data.data_path ?? '';
  const inside = await foldersIn(resolve(context.cwd, path));
  const train = await indexAndSave({ path, split: inside.includes('train') ? 'train' : '', kind, store }, context);
  const folders = train.kind === 'image_folder';
  const hasSplit = inside.includes('val') || inside.includes('test');
  const evalPath = data.eval_data_path ?? (folders && !hasSplit ? undefined : path);
  if (evalPath === undefined) return { train, evaluation: undefined };
  const evalInside = await foldersIn(resolve(context.cwd, evalPath));
  // A folder given as eval_data_path contains only evaluation images.
  const wholeFolder = folders || (train.kind === 'tar' && data.eval_data_path !== undefined);
  const split = wholeFolder && !evalInside.includes('val') && !evalInside.includes('test') ? '' : 'val';
  try {
    return { train, evaluation: await indexAndSave({ path: evalPath, split, kind: train.kind, store }, context) };
  } catch (error) {
    if (data.eval_data_path || !(error instanceof InvalidArgument || error instanceof NotFound)) throw error;
    context.terminal.err(`no evaluation images were found for ${path}, so the run is not evaluated (${error.message})`);
    return { train, evaluation: undefined };
  }
}

/**
 * Indexes the evaluation images as the reference finds them: eval_data_path, otherwise val/ or test/ in data_path, otherwise the test part
 * of a file set. A folder without val/ or test/ contains the class folders itself.
 */
export async function indexForEvaluation(
  data: Readonly<Record<string, string>>,
  store: string,
  context: Pick<Context, 'terminal' | 'cwd' | 'env' | 'signal'>,
): Promise<IndexedDataset> {
  const kind = datasetKind(data.data_set);
  const path = data.eval_data_path ?? data.data_path ?? '';
  const inside = await foldersIn(resolve(context.cwd, path));
  const classesInside = kind === 'image_folder' || (kind === undefined && inside.length > 0);
  const shards =
    data.eval_data_path !== undefined && (kind === 'tar' || (kind === undefined && (await holdsShards(resolve(context.cwd, path)))));
  const split = (classesInside || shards) && !inside.includes('val') && !inside.includes('test') ? '' : 'val';
  return await indexAndSave({ path, split, kind, store }, context);
}

async function holdsShards(path: string): Promise<boolean> {
  return (await readdir(path)).some((name) => /\.tar$/i.test(name));
}

async function foldersIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    throw new CommandError(`${path} cannot be read: ${(error as Error).message}`, 2, { cause: error });
  }
}
