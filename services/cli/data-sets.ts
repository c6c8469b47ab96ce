/** Indexes data sets from the command line into the object store that the services use. */
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { type IndexedDataset, type IndexOptions, indexDataset } from '#data/datasets/index-dataset.js';
import { LocalTree } from '#data/datasets/local-tree.js';
import { findSplit } from '#data/datasets/splits.js';
import type { DatasetKind } from '#data/manifest/manifest-header.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { indexInStore } from '#data/sources/index-in-store.js';
import { InvalidArgument, invalid, NotFound } from '#errors/errors.js';
import { openStore } from '#storage/open-store.js';
import { readUpState } from './addresses.js';
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
  const known = name.toLowerCase();
  return Object.hasOwn(kinds, known) ? kinds[known] : refuseKind(name);
}

function refuseKind(name: string): never {
  throw invalid('data_set', name, 'IMNET, image_folder, tar, CIFAR, cifar10, cifar100 or idx');
}

export interface IndexRequest {
  readonly path: string;
  readonly split: string;
  readonly kind: DatasetKind | undefined;
  readonly store: string;
  /** Id of the project that gets the data set. */
  readonly project: string;
  /** As the options of `train` of these names. */
  readonly maxUndecodable?: number | undefined;
  readonly nbClasses?: number | undefined;
  /** As the option of `data index`. */
  readonly labels?: string | undefined;
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
    await saveManifest(store, dataset, request.project, signal);
  } finally {
    await store.close();
  }
  return dataset;
}

/** Like indexAndSave, but stores nothing. The path is a folder, or s3://bucket/prefix?endpoint=… for a data set in an object store. */
export async function indexAt(
  { path: given, kind, split, maxUndecodable, nbClasses, labels: labelFile }: Omit<IndexRequest, 'store' | 'project'>,
  context: Pick<Context, 'terminal' | 'cwd' | 'env' | 'signal'>,
): Promise<IndexedDataset> {
  const { terminal, signal } = context;
  const inStore = given.startsWith('s3://');
  const path = inStore ? given : resolve(context.cwd, given);
  const onProgress = progressLines(terminal, `indexing ${path}`, (done, total) => `${count(done)} of ${count(total)}`);
  const labels = labelFile === undefined ? undefined : resolve(context.cwd, labelFile);
  const options = { kind, signal, onProgress, maxUndecodable, nbClasses, labels, memory: join(homeFolder(context), 'index') };
  const dataset = inStore
    ? await indexStore(path, split, options, context)
    : await indexDataset(await rootsFor(path, context), path, { ...options, split });
  terminal.status('');
  for (const warning of dataset.warnings) terminal.err(warning);
  for (const { path: file, reason } of dataset.skipped.slice(0, 5)) terminal.err(`left out ${file}: ${reason}`);
  if (dataset.skipped.length > 5) terminal.err(`left out ${dataset.skipped.length} files in all`);
  return dataset;
}

/**
 * Where links of a data set may lead: as the data service of the running `up` allows it, where it may read the data set at all. Otherwise
 * anywhere, since the service that will read it is not known here.
 */
async function rootsFor(path: string, context: Pick<Context, 'cwd' | 'env'>): Promise<AllowedRoots> {
  const state = context.env.DROPSTREAM_DATA ? undefined : readUpState(homeFolder(context));
  const allowed = state === undefined ? undefined : await AllowedRoots.open(state.dataRoots).catch(() => undefined);
  const inside = await allowed?.resolve(path).then(
    () => true,
    () => false,
  );
  return allowed !== undefined && inside ? allowed : await AllowedRoots.open(['/']);
}

async function indexStore(uri: string, split: string, options: IndexOptions, { env, signal }: Pick<Context, 'env' | 'signal'>) {
  if (options.labels !== undefined)
    throw invalid('labels', options.labels, 'left out for a data set in an object store, where class folders say the labels');
  if (split !== '') throw invalid('split', split, 'left out for a data set in an object store: name the folder of the split in the URI');
  const store = await openStore(uri, { env, signal, probe: false, foreignKeys: true });
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

export type IndexLimits = Pick<IndexRequest, 'maxUndecodable' | 'nbClasses'>;

export interface Manifests {
  readonly train: IndexedDataset;
  /** Undefined if no evaluation images were found. */
  readonly evaluation: IndexedDataset | undefined;
}

/** Finds training and evaluation images as the reference does: train/ and val/ in data_path, or eval_data_path; CIFAR and IDX have both. */
export async function indexForTraining(
  data: Readonly<Record<string, string>>,
  place: Pick<IndexRequest, 'store' | 'project'>,
  context: Pick<Context, 'terminal' | 'cwd' | 'env' | 'signal'>,
  limits: IndexLimits = {},
): Promise<Manifests> {
  const kind = datasetKind(data.data_set);
  const path = data.data_path ?? '';
  const part = await partsOf(path, context);
  const request = { ...limits, ...place, kind };
  const train = await indexAndSave({ ...request, path, split: part.train ? 'train' : '' }, context);
  const folders = train.kind === 'image_folder';
  const evalPath = data.eval_data_path ?? (folders && !part.val ? undefined : path);
  if (evalPath === undefined) return { train, evaluation: undefined };
  const evalPart = await partsOf(evalPath, context);
  // A folder given as eval_data_path contains only evaluation images.
  const wholeFolder = folders || (train.kind === 'tar' && data.eval_data_path !== undefined);
  const split = wholeFolder && !evalPart.val ? '' : 'val';
  try {
    return { train, evaluation: await indexAndSave({ ...request, path: evalPath, split, kind: train.kind }, context) };
  } catch (error) {
    // A part that is there and cannot be read is an error; CIFAR, IDX and shards without one are not.
    if (data.eval_data_path || evalPart.val || !(error instanceof InvalidArgument || error instanceof NotFound)) throw error;
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
  place: Pick<IndexRequest, 'store' | 'project'>,
  context: Pick<Context, 'terminal' | 'cwd' | 'env' | 'signal'>,
  limits: IndexLimits = {},
): Promise<IndexedDataset> {
  const kind = datasetKind(data.data_set);
  const path = data.eval_data_path ?? data.data_path ?? '';
  const { val, folders } = await partsOf(path, context);
  const classesInside = kind === 'image_folder' || (kind === undefined && folders);
  const shards =
    data.eval_data_path !== undefined && (kind === 'tar' || (kind === undefined && (await holdsShards(resolve(context.cwd, path)))));
  const split = (classesInside || shards) && !val ? '' : 'val';
  return await indexAndSave({ ...limits, ...place, path, split, kind }, context);
}

async function holdsShards(path: string): Promise<boolean> {
  return (await readdir(path)).some((name) => /\.tar$/i.test(name));
}

/** Which parts a folder has, and whether it has any folder; a store's are named in the URI. */
async function partsOf(path: string, { cwd }: Pick<Context, 'cwd'>): Promise<{ train: boolean; val: boolean; folders: boolean }> {
  if (path.startsWith('s3://')) return { train: false, val: false, folders: true };
  const folder = resolve(cwd, path);
  try {
    const [train, val] = [await findSplit(folder, 'train'), await findSplit(folder, 'val')];
    return { train: train !== undefined, val: val !== undefined, folders: (await new LocalTree(folder).list()).folders.length > 0 };
  } catch (error) {
    if (error instanceof InvalidArgument) throw error;
    throw new CommandError(`${path} cannot be read: ${(error as Error).message}`, 2, { cause: error });
  }
}
