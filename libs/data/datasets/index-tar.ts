/** Reads every tar shard of a folder once, some at a time, and writes down where its samples lie. */
import { invalid } from '#errors/errors.js';
import { mistakenDownload } from '#errors/mistaken-download.js';
import { TAR_BLOCK_BYTES } from '../manifest/manifest.js';
import { ManifestBuilder } from '../manifest/manifest-builder.js';
import { byCodePoint } from './code-points.js';
import type { FileTree } from './file-tree.js';
import { refusedName, shownName } from './image-names.js';
import type { ImageIndexOptions, IndexedImages } from './index-image-folder.js';
import { type IndexMemory, isSettled, sameStamp } from './index-memory.js';
import { checkLargestLabel } from './largest-label.js';
import { packedAs } from './packed-archive.js';
import { readShard } from './read-shard.js';
import { ShardSamples, type Skipped } from './shard-samples.js';
import { PartsAmongFolders, refuseSplitsAsClasses } from './splits.js';
import { InvalidTar } from './tar.js';
import { UNLABELLED } from './web-dataset.js';

export interface IndexedShards extends IndexedImages {
  /** Size and SHA-256 by shard. */
  readonly shards: ReadonlyMap<string, { readonly sizeBytes: number; readonly sha256: string }>;
}

/** Shards read at a time. */
const PARALLEL = 4;
const NO_LABEL = 'it has no .cls and no .json with label or cls, as other samples of the set have';
/** Shards that a warning names one by one. */
const SHOWN_SHARDS = 5;
const COMPRESSED = /\.(tar\.(gz|bz2|xz|zst|lz4)|tgz|tbz2?|txz)$/i;

const TRAIN_SHARD = /(^|[-_.])train(ing)?\d*[-_.]/i;
const VAL_SHARD = /(^|[-_.])(val|valid|validation|test|testing|dev|eval)\d*[-_.]/i;

/** The shards of a folder. '' : all, or the training ones where names tell them from others. */
function shardsOf(names: readonly string[], split: '' | 'train' | 'val'): string[] {
  const tars = names.filter((name) => /\.tar$/i.test(name)).sort(byCodePoint);
  const val = tars.filter((name) => VAL_SHARD.test(name) && !TRAIN_SHARD.test(name));
  if (split === 'val') return val;
  const train = tars.filter((name) => TRAIN_SHARD.test(name));
  if (split === 'train' || (train.length > 0 && val.length > 0)) return train;
  const others = tars.filter((name) => !val.includes(name));
  return others.length > 0 ? others : tars;
}

/** Shards that lie there compressed only. */
const compressedShards = (names: readonly string[]): string[] =>
  names.filter((name) => COMPRESSED.test(name) && !names.includes(name.replace(COMPRESSED, '.tar'))).sort(byCodePoint);

/** Whether any file is a shard, or would be one when it is unpacked. */
export const haveShards = (names: readonly string[]): boolean =>
  names.some((name) => /\.tar$/i.test(name)) || compressedShards(names).length > 0;

/** @throws InvalidArgument where there is no shard of the split, or where shards are compressed */
export function chooseShards(names: readonly string[], split: '' | 'train' | 'val', place: string): string[] {
  const compressed = compressedShards(names);
  if (compressed.length > 0)
    throw invalid(
      'data_path',
      place,
      `a folder with .tar files that can be read at any place; unpack ${compressed.slice(0, 5).join(', ')} (gunzip, not tar: the archives stay)`,
    );
  const chosen = shardsOf(names, split);
  if (chosen.length === 0)
    throw invalid('data_path', place, `a folder with .tar files${split === '' ? '' : ` that have ${split} in their names`}`);
  return chosen;
}

/**
 * Samples are in the order of the shards' names, then of their places. Progress counts shards.
 * @throws InvalidArgument (a file that is no archive, no labelled image, labels that do not fit together), the signal's reason
 */
export async function indexTarShards(
  tree: FileTree,
  names: readonly string[],
  { memory, signal, onProgress, nbClasses }: ImageIndexOptions & { readonly nbClasses?: number | undefined },
): Promise<IndexedShards> {
  const found = new Array<ShardSamples>(names.length);
  let [next, done, unchanged] = [0, 0, 0];
  onProgress?.(0, names.length);
  const work = async (): Promise<void> => {
    for (let index = next++; index < names.length; index = next++) {
      signal?.throwIfAborted();
      const name = names[index] as string;
      const { samples, known } = await shardSamples(tree, name, memory, signal);
      if (known) unchanged += samples.length;
      found[index] = samples;
      onProgress?.(++done, names.length);
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: PARALLEL }, work));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) throw failed.reason;
  refuseParts(found, tree.place);
  const skipped = found.flatMap((samples): Skipped[] => samples.skipped);
  const classes = await classesOf(tree, found, skipped, nbClasses);
  const labelOf = new Map<string | number, number>(
    classes.named ? classes.names.map((name, label) => [name, label]) : classes.names.map((_, label) => [label, label]),
  );
  const builder = new ManifestBuilder(false);
  for (const [i, samples] of found.entries()) {
    for (let k = 0; k < samples.length; k++) {
      const { label, ...sample } = samples.at(k);
      const number = labelOf.get(label);
      if (number !== undefined) builder.add({ ...sample, path: names[i] as string, label: number });
      else skipped.push({ path: `${names[i]}@${sample.record * TAR_BLOCK_BYTES}`, reason: NO_LABEL });
    }
  }
  const shards = new Map(found.map(({ sizeBytes, sha256 }, i) => [names[i] as string, { sizeBytes, sha256 }]));
  return {
    builder,
    shards,
    classes: classes.names,
    skipped,
    ignored: found.reduce((sum, { ignored }) => sum + ignored, 0),
    unchanged,
    warnings: warningsOf(names, found, classes),
  };
}

async function shardSamples(
  tree: FileTree,
  name: string,
  memory: IndexMemory | undefined,
  signal: AbortSignal | undefined,
): Promise<{ samples: ShardSamples; known: boolean }> {
  const readAtMs = Date.now();
  const stamp = await tree.stamp(name, signal);
  const recalled = (await memory?.recall(name)) as { stamp?: typeof stamp; samples?: unknown } | undefined;
  if (recalled?.stamp && sameStamp(stamp, recalled.stamp)) {
    const samples = ShardSamples.from(recalled.samples);
    if (samples?.sizeBytes === stamp.sizeBytes) return { samples, known: true };
  }
  try {
    const samples = await readShard(tree, name, stamp.sizeBytes, signal);
    if (isSettled(stamp, readAtMs)) await memory?.remember(name, { stamp, samples });
    return { samples, known: false };
  } catch (error) {
    if (!(error instanceof InvalidTar)) throw error;
    const start = await tree.read(name, 0, 512, signal);
    const why = packedAs(start) ?? mistakenDownload(start) ?? error.why;
    throw invalid('data_path', `${tree.place}/${name}`, `an uncompressed tar archive (${why})`);
  }
}

/** Class names in order of their labels: folders by name; numbers with the lines of classes.txt, or as themselves. */
async function classesOf(
  tree: FileTree,
  found: readonly ShardSamples[],
  skipped: readonly Skipped[],
  nbClasses: number | undefined,
): Promise<{ named: boolean; names: string[] }> {
  const labels = new Set(found.flatMap((samples) => samples.labels));
  const numbers = [...labels].filter((label): label is number => typeof label === 'number');
  const folders = [...labels].filter((label): label is string => typeof label === 'string');
  const orphans = found.flatMap((samples) => samples.orphans);
  if (numbers.length === 0 && orphans.length > 0) throw invalid('data_path', tree.place, twoGroups(found, orphans, folders));
  if (labels.size === 0) {
    const first = skipped[0];
    throw invalid(
      'data_path',
      tree.place,
      `tar shards with labelled images${first ? `; the first fails: ${first.path}: ${first.reason}` : ''}`,
    );
  }
  if (numbers.length === 0) {
    const odd = folders.find((name) => refusedName(name) !== undefined);
    if (odd !== undefined)
      throw invalid('data_path', shownName(odd), 'folder names of UTF-8 text, without control characters and backslashes');
    refuseSplitsAsClasses(folders, tree.place);
    return { named: true, names: folders.sort(byCodePoint) };
  }
  const largest = numbers.reduce((most, label) => Math.max(most, label), 0);
  const names = await namesIn(tree);
  if (names === undefined) checkLargestLabel(largest, numbers.length, tree.place, nbClasses);
  if (names && names.length <= largest)
    throw invalid('data_path', `${tree.place}/classes.txt`, `a line for each of the ${largest + 1} classes`);
  return { named: false, names: names ?? Array.from({ length: largest + 1 }, (_, label) => String(label)) };
}

/** @throws InvalidArgument where images for training and for evaluation would get into one set */
function refuseParts(found: readonly ShardSamples[], place: string): void {
  const parts = new PartsAmongFolders();
  for (const folder of found.flatMap(({ partFolders }) => partFolders)) parts.see(folder);
  const { mixed } = parts;
  if (mixed === undefined) return;
  const within = mixed.place === '' ? '' : ` in ${mixed.place}`;
  throw invalid(
    'data_path',
    place,
    `tar shards of one part of a data set; these have the parts ${mixed.train} and ${mixed.val}${within}: pack each part into shards of its own, with train or val in their names or in folders of these names`,
  );
}

function warningsOf(
  shards: readonly string[],
  found: readonly ShardSamples[],
  { named, names }: { readonly named: boolean; readonly names: readonly string[] },
): string[] {
  const warnings: string[] = [];
  const tell = (shard: (samples: ShardSamples) => boolean, one: (name: string) => string, all: (count: number) => string) => {
    const told = shards.filter((_, i) => shard(found[i] as ShardSamples));
    warnings.push(...told.slice(0, SHOWN_SHARDS).map(one));
    if (told.length > SHOWN_SHARDS) warnings.push(all(told.length));
  };
  tell(
    ({ length }) => length === 0,
    (name) => `The shard ${name} has no samples.`,
    (count) => `${count} shards have no samples.`,
  );
  tell(
    ({ cut }) => cut,
    (name) => `The shard ${name} ends without the zeros that end an archive. If it was cut, samples are missing: compare its size.`,
    (count) => `${count} shards end without the zeros that end an archive.`,
  );
  if (named && names.length === 1)
    warnings.push(
      `All images lie in one folder, ${names[0]}, and none has a label in a .cls or .json file, so that they are of one class.`,
    );
  return warnings;
}

/** Labels and images that do not find each other. */
function twoGroups(found: readonly ShardSamples[], orphans: readonly string[], folders: readonly string[]): string {
  // An image in a folder is a sample of that folder's class; one without a folder is left out.
  const bare = found.flatMap(({ skipped }) => skipped.filter(({ reason }) => reason === UNLABELLED));
  const images = found.reduce((sum, { length }) => sum + length, bare.length);
  const labels = found.reduce((sum, { orphanCount }) => sum + orphanCount, 0);
  const places = [...folders.map((folder) => `in ${folder}`), ...bare.map(({ path }) => path)];
  const where = places.length > 0 ? ` (${places.slice(0, 5).join(', ')})` : '';
  return `tar shards whose images and labels have the same names up to the first dot; found ${images} images without a label${where} and ${labels} labels without an image (${orphans.slice(0, 5).join(', ')})`;
}

/** A name a line. */
async function namesIn(tree: FileTree): Promise<string[] | undefined> {
  if (!(await tree.list()).files.includes('classes.txt')) return undefined;
  const { sizeBytes } = await tree.stamp('classes.txt');
  const text = (await tree.read('classes.txt', 0, Math.min(sizeBytes, 16 << 20))).toString('utf8');
  return text.split(/\r?\n/).flatMap((line) => line.trim() || []);
}
