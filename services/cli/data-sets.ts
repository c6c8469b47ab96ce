/** Indexing of data sets from the command line, into the store that the services use. */
import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { type IndexedDataset, indexDataset } from '#data/datasets/index-dataset.js';
import type { DatasetKind } from '#data/manifest-header.js';
import { saveManifest } from '#data/manifest-store.js';
import { InvalidArgument, invalid, NotFound } from '#rpc/errors.js';
import { openStore } from '#storage/open-store.js';
import type { Context } from './context.js';
import { CommandError } from './exit-codes.js';
import { bar, count } from './output/numbers.js';

/** The reference's names of data sets, and ours. */
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

/** @throws InvalidArgument for a name that is none */
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

/** Reads every sample once and stores the manifest. Shows progress; files that are no images are said. */
export async function indexAndSave(
  request: IndexRequest,
  context: Pick<Context, 'terminal' | 'cwd' | 'env' | 'signal'>,
): Promise<IndexedDataset> {
  const { terminal, signal } = context;
  const path = resolve(context.cwd, request.path);
  const roots = await AllowedRoots.open([path]);
  let lastLine = performance.now();
  const dataset = await indexDataset(roots, path, {
    kind: request.kind,
    split: request.split,
    signal,
    onProgress: (done, total) => {
      terminal.status(`indexing ${path}  ${bar(done / total)} ${count(done)} of ${count(total)}`);
      if (terminal.interactive || performance.now() - lastLine < 5000) return;
      lastLine = performance.now();
      terminal.err(`indexing ${path}: ${count(done)} of ${count(total)} images`);
    },
  });
  terminal.status('');
  for (const { path: file, reason } of dataset.skipped.slice(0, 5)) terminal.err(`left out ${file}: ${reason}`);
  if (dataset.skipped.length > 5) terminal.err(`left out ${dataset.skipped.length} files in all`);
  const store = await openStore(request.store, { env: context.env, signal });
  try {
    await saveManifest(store, dataset, signal);
  } finally {
    await store.close();
  }
  return dataset;
}

export interface Manifests {
  readonly train: IndexedDataset;
  /** Absent where no evaluation images were found. */
  readonly evaluation: IndexedDataset | undefined;
}

/** The reference's way to name data: data_path with train/ and val/ in it, or with eval_data_path beside it; CIFAR and IDX hold both. */
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
  // A folder that is named for evaluation alone holds nothing else.
  const wholeFolder = folders || (train.kind === 'tar' && data.eval_data_path !== undefined);
  const split = wholeFolder && !evalInside.includes('val') && !evalInside.includes('test') ? '' : 'val';
  try {
    return { train, evaluation: await indexAndSave({ path: evalPath, split, kind: train.kind, store }, context) };
  } catch (error) {
    if (data.eval_data_path || !(error instanceof InvalidArgument || error instanceof NotFound)) throw error;
    context.terminal.err(`no evaluation images beside ${path}, so the run is not evaluated (${error.message})`);
    return { train, evaluation: undefined };
  }
}

/**
 * The evaluation images that the reference would take: eval_data_path, else val/ or test/ in data_path, else the test part of a file set.
 * A folder without val/ or test/ holds the classes itself.
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
