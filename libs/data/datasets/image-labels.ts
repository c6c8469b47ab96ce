/**
 * Labels of images that have no class folders, from the text files that data sets bring along: ILSVRC's LOC_val_solution.csv, Caffe's val.txt,
 * Tiny ImageNet's val_annotations.txt, TensorFlow's list of one class a line.
 */
import { dirname, join } from 'node:path';
import { invalid } from '#errors/errors.js';
import { maxClasses } from '#errors/limits.js';
import type { AllowedRoots } from './allowed-roots.js';
import { byCodePoint } from './code-points.js';
import { readRegularFile } from './regular-file.js';

export interface ImageLabels {
  /** For messages. */
  readonly file: string;
  /** In the order of their labels. */
  readonly classes: readonly string[];
  /** Number of files that have one. */
  readonly size: number;
  /** Of a file by its name, with or without its ending; undefined: the file does not say. */
  labelOf(name: string): number | undefined;
}

/** Names by which a file of labels is found without an option. */
const KNOWN = ['LOC_val_solution.csv', 'val_annotations.txt', 'val.txt', 'imagenet_2012_validation_synset_labels.txt'];
const MAX_LABELS_BYTES = 256 << 20;
const withoutEnding = (name: string): string => name.replace(/\.[^.]*$/, '');

/** The first known file of labels beside or above the images. @param folders where to look, in this order */
export async function findLabels(roots: AllowedRoots, folders: readonly string[]): Promise<string | undefined> {
  for (const folder of new Set(folders.flatMap((one) => [one, dirname(one)])))
    for (const name of KNOWN) {
      const found = await roots.resolve(join(folder, name)).catch(() => undefined);
      if (found !== undefined) return found;
    }
  return undefined;
}

/**
 * @param images names of the files, for lists that have one label for each of them in the order of their names
 * @param trainClasses class folders of the training images, which decide what a label's number is; empty: the labels in order of their names
 * @throws InvalidArgument that says what the file must hold
 */
export async function readLabels(file: string, images: readonly string[], trainClasses: readonly string[]): Promise<ImageLabels> {
  const text = await readRegularFile(file, MAX_LABELS_BYTES).catch((cause: Error) => {
    throw invalid('labels', file, `a readable file (${cause.message})`);
  });
  return parseLabels(text.toString('utf8'), file, images, trainClasses);
}

export function parseLabels(text: string, file: string, images: readonly string[], trainClasses: readonly string[]): ImageLabels {
  const rows = text.split(/\r?\n/).flatMap((line) => {
    const words = line.split(/[\s,]+/).filter((word) => word !== '');
    return words.length === 0 || words[0] === 'ImageId' ? [] : [words];
  });
  const wanted = 'lines of a file name and its class (LOC_val_solution.csv, val.txt), or one class name for each image';
  if (rows.length === 0) throw invalid('labels', file, wanted);
  const single = rows.every((words) => words.length === 1);
  if (single && rows.every(([word]) => /^\d+$/.test(word as string)))
    throw invalid('labels', file, `${wanted}; numbers alone are in an order that only the devkit's meta.mat tells`);
  if (single && rows.length !== images.length)
    throw invalid('labels', file, `${wanted}; it has ${rows.length} lines for ${images.length} images`);
  const named = new Map<string, string>();
  const byName = single ? [...images].sort(byCodePoint) : [];
  for (const [i, words] of rows.entries()) {
    const [name, label] = single ? [byName[i] as string, words[0]] : [words[0]?.split('/').at(-1) as string, words[1]];
    if (label === undefined) throw invalid('labels', file, `${wanted}; its line ${JSON.stringify(words.join(' '))} is neither`);
    named.set(name, label);
  }
  const labels = new Set(named.values());
  const numbers = [...labels].every((label) => /^\d{1,6}$/.test(label));
  const classes = trainClasses.length > 0 ? trainClasses : numbers ? counted(labels, file) : [...labels].sort(byCodePoint);
  const numberOf = new Map(classes.map((name, number) => [name, number]));
  // Numbers are those of the classes in the order of their names, as in Caffe's lists, unless classes are called by numbers.
  const asNumber = numbers && !classes.some((name) => labels.has(name));
  const resolve = (label: string): number | undefined => (asNumber ? Number(label) : numberOf.get(label));
  for (const label of labels) {
    const number = resolve(label);
    if (number === undefined || number >= classes.length)
      throw invalid('labels', file, `labels of the ${classes.length} classes; ${JSON.stringify(label)} is none of them`);
  }
  const plain = new Map([...named].map(([name, label]) => [withoutEnding(name), label]));
  return {
    file,
    classes,
    size: named.size,
    labelOf: (name) => {
      const label = named.get(name) ?? plain.get(withoutEnding(name)) ?? named.get(withoutEnding(name));
      return label === undefined ? undefined : resolve(label);
    },
  };
}

function counted(labels: ReadonlySet<string>, file: string): string[] {
  const largest = [...labels].reduce((most, label) => Math.max(most, Number(label)), 0);
  if (largest >= maxClasses) throw invalid('labels', file, `labels from 0 to ${maxClasses - 1}; found ${largest}`);
  return Array.from({ length: largest + 1 }, (_, label) => String(label));
}
