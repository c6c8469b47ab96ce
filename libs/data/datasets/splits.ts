/** The folders of a data set's parts: train/ beside val/, valid/, validation/ or test/ in any letter case, also in the tree of ILSVRC. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { invalid, NotFound } from '#errors/errors.js';
import { isSidecar } from './sidecars.js';

/** '' : the folder itself. */
export type Split = '' | 'train' | 'val';

/** In order of preference. */
const NAMES: Readonly<Record<Exclude<Split, ''>, readonly string[]>> = {
  train: ['train', 'training'],
  val: ['val', 'valid', 'validation', 'test', 'testing'],
};

/** What a split may be called by a caller: val and test are the same part. @throws InvalidArgument */
export function normalSplit(split: string): Split {
  const name = split.toLowerCase();
  if (name === '') return '';
  if (NAMES.train.includes(name)) return 'train';
  if (NAMES.val.includes(name)) return 'val';
  throw invalid('split', split, 'train, val, valid, validation or test, or empty');
}

/** Names of parts that are told from classes besides those that can be asked for: train_set, test-images, val2017, dev. */
const LIKE_PARTS: Readonly<Record<Exclude<Split, ''>, RegExp>> = {
  train: /^train(ing)?([-_ ]?(set|data|images|imgs|\d+))?$/i,
  val: /^(val|valid|validation|test|testing|dev|eval|evaluation|holdout)([-_ ]?(set|data|images|imgs|\d+))?$/i,
};

function partLike(name: string): Exclude<Split, ''> | undefined {
  return LIKE_PARTS.train.test(name) ? 'train' : LIKE_PARTS.val.test(name) ? 'val' : undefined;
}

/**
 * Refuses classes that are parts of a data set: a part for training beside one for evaluation, or nothing but parts.
 * @throws InvalidArgument with what to do
 */
export function refuseSplitsAsClasses(classes: readonly string[], place: string): void {
  const named = (part: Split) => classes.filter((name) => partLike(name) === part);
  const [train, val] = [named('train'), named('val')];
  const splits = train.length + val.length;
  if (splits === 0 || (splits < classes.length && (train.length === 0 || val.length === 0))) return;
  const known = [...train, ...val].find(isSplitName);
  throw invalid(
    'data_path',
    place,
    `a folder whose subfolders are classes; ${[...train, ...val].join(', ')} look like parts of a data set: give ${
      known === undefined ? '' : `--split ${NAMES.train.includes(known.toLowerCase()) ? 'train' : 'val'}, or `
    }the folder of one part`,
  );
}

/** Most places that are remembered: sets that have parts in each of their classes have as many. */
const MOST_PLACES = 1000;

/** Parts of a data set among the folders of files: images for training and for evaluation would be mixed. */
export class PartsAmongFolders {
  /** The parts for training and for evaluation by the folder that they lie in. */
  readonly #found = new Map<string, Partial<Record<Exclude<Split, ''>, string>>>();
  #last: string | undefined;

  /** @param folder of a file, '/' between segments @param below number of segments that are known to be no parts */
  see(folder: string, below = 0): void {
    if (folder === this.#last) return;
    this.#last = folder;
    const segments = folder.split('/');
    for (let k = below; k < segments.length; k++) {
      const name = segments[k] as string;
      const part = partLike(name);
      if (part === undefined) continue;
      const place = segments.slice(0, k).join('/');
      const known = this.#found.get(place);
      if (known) known[part] ??= name;
      else if (this.#found.size < MOST_PLACES) this.#found.set(place, { [part]: name });
    }
  }

  /** The folders that were seen and matter. */
  get folders(): string[] {
    return [...this.#found].flatMap(([place, parts]) => Object.values(parts).map((part) => (place === '' ? part : `${place}/${part}`)));
  }

  /** A place that has both, and their names. */
  get mixed(): { readonly place: string; readonly train: string; readonly val: string } | undefined {
    for (const [place, { train, val }] of this.#found) if (train !== undefined && val !== undefined) return { place, train, val };
    return undefined;
  }
}

/** The folders where ILSVRC's archives keep train, val and test. */
const ILSVRC = [['ILSVRC', 'Data', 'CLS-LOC'], ['Data', 'CLS-LOC'], ['CLS-LOC']];

/**
 * Where the parts of a data set lie: the folder itself, or Data/CLS-LOC of ILSVRC's tree below it.
 * @throws Error where it cannot be read
 */
async function partsFolder(root: string): Promise<string> {
  if ((await foldersIn(root)).some((name) => isSplitName(name))) return root;
  for (const way of ILSVRC) {
    const folder = join(root, ...way);
    if ((await stat(folder).catch(() => undefined))?.isDirectory()) return folder;
  }
  return root;
}

/** The folder of a part, links in it not resolved; undefined where there is none. */
export async function findSplit(root: string, split: Exclude<Split, ''>): Promise<string | undefined> {
  const parts = await partsFolder(root);
  const present = await foldersIn(parts);
  for (const wanted of NAMES[split]) {
    const found = present.filter((name) => name.toLowerCase() === wanted).sort();
    // On file systems that tell cases apart, the name that is written as here comes first.
    const name = found.find((one) => one === wanted) ?? found[0];
    if (name !== undefined && found.length > 1 && !found.includes(wanted))
      throw invalid('data_path', root, `a folder with one part for ${split}; found ${found.join(', ')}`);
    if (name !== undefined) return join(parts, name);
  }
  return undefined;
}

/** @throws InvalidArgument where there is none */
export async function splitFolder(root: string, split: Exclude<Split, ''>): Promise<string> {
  const found = await findSplit(root, split);
  if (found !== undefined) return found;
  throw invalid('data_path', root, `a folder with one of ${NAMES[split].join(', ')} in it`);
}

const isSplitName = (name: string): boolean => [...NAMES.train, ...NAMES.val].includes(name.toLowerCase());

/** Names of the folders in a folder, links followed. @throws NotFound, InvalidArgument */
async function foldersIn(root: string): Promise<string[]> {
  const items = await readdir(root, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') throw new NotFound('file or folder', root);
    throw invalid('data_path', root, `a folder (${cause.message})`);
  });
  const are = await Promise.all(
    items.map(async (item) => {
      if (isSidecar(item.name)) return false;
      if (!item.isSymbolicLink()) return item.isDirectory();
      return (await stat(join(root, item.name)).catch(() => undefined))?.isDirectory() ?? false;
    }),
  );
  return items.flatMap(({ name }, i) => (are[i] ? [name] : []));
}
