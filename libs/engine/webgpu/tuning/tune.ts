/** Finds the fastest tiles on the user's GPU. */
import { inTurns } from '#bounds/pieces.js';
import type { ElementType } from '../../native/program-spec.js';
import type { Precision } from '../../precision.js';
import { adapterHere } from '../adapters.js';
import { kindOf, LARGE, type TiledProduct, type TileName, tunedTypes } from '../kernels/tile-shapes.js';
import { productsOf, type TunedModel, work } from './model-products.js';
import type { ProductsToTime, TileTime } from './product-times.js';
import { isChoice, tuningKey } from './tiles-here.js';
import { timeOnDevice } from './time-on-device.js';
import { makeFolder, readTuned, sameKey, storeTuned, tuningFile } from './tuned-file.js';

export interface TuneOptions {
  models: readonly TunedModel[];
  /** Default: all. */
  precisions?: readonly Precision[] | undefined;
  /** Samples of a micro-batch. */
  batch: number;
  /** Ends the tuning, and nothing is stored. */
  signal: AbortSignal;
  /** Called when a tile of a product is about to be compiled or timed. */
  onTile?: (product: string, tile: string, place: number, of: number) => void;
  /** Called when the tile of a product was chosen. */
  onChoice?: (choice: TunedProduct) => void;
}

export interface TunedProduct {
  product: TiledProduct;
  precision: ElementType;
  /** The chosen tile: the default one unless another is clearly faster. */
  tile: TileName;
  gflops: number;
  defaultGflops: number;
  tiles: { tile: TileName; gflops?: number; reason?: string }[];
}

export interface Tuning {
  adapter: { name: string; driver: string; dawn: string; software: boolean };
  /** Where the choice was stored. */
  file: string;
  products: TunedProduct[];
}

/** No file can be written, or the default tile does not work on the device. */
export class TuningFailed extends Error {
  override readonly name = 'TuningFailed';
}

/** How much faster than the default a tile must be. Less may be chance, and every choice is one more fingerprint. */
const CLEARLY = 1.03;

/**
 * Times the tiles, and stores the choice for the adapter that DROPSTREAM_GPU names.
 * @throws ExecutorUnavailable, UnknownModel, NotATuningFile, TuningFailed, DeviceFailed; the signal's reason
 */
export async function tune({ models, precisions = tunedTypes, batch, signal, onTile, onChoice }: TuneOptions): Promise<Tuning> {
  const file = await fileToWrite();
  const products = await inTurns(productsOf(models, precisions, batch));
  const { name, driver, dawn, software } = await adapterHere();
  const key = tuningKey({ name, driver, dawn });
  const chosen: TunedProduct[] = [];
  await timeOnDevice(products, signal, {
    timing: (at, tile) => onTile?.(`${products[at]!.product} ${products[at]!.type}`, tile, at, products.length),
    timed: (at, times) => {
      chosen.push(choose(products[at]!, times));
      onChoice?.(chosen.at(-1)!);
    },
  });
  signal.throwIfAborted();
  // What was not timed now, such as another precision, stays as it was chosen before.
  const before = Object.entries(readTuned(file).find((one) => sameKey(one, key))?.tiles ?? {});
  const tiles = chosen.map(({ product, precision, tile }): [string, string] => [kindOf(product, precision), tile]);
  await storeTuned(file, key, Object.fromEntries([...before.filter(([product, tile]) => isChoice(product, tile)), ...tiles]));
  return { adapter: { name, driver, dawn, software }, file, products: chosen };
}

/** Forgets the choice for the adapter. @returns the file. @throws ExecutorUnavailable, NotATuningFile, TuningFailed */
export async function forgetTuning(): Promise<string> {
  const file = await fileToWrite();
  await storeTuned(file, tuningKey(await adapterHere()), undefined);
  return file;
}

/** What cannot be stored is refused before the time is spent. */
async function fileToWrite(): Promise<string> {
  const file = tuningFile();
  if (file === undefined)
    throw new TuningFailed('there is no place for the choice: DROPSTREAM_GPU_TUNING is none, or there is no home folder');
  readTuned(file);
  await makeFolder(file).catch((error: Error) => {
    throw new TuningFailed(`${file} cannot be written (${error.message}); let DROPSTREAM_GPU_TUNING name another file`, { cause: error });
  });
  return file;
}

/** The fastest tile, if it is clearly faster than the default. */
export function choose(products: ProductsToTime, times: readonly TileTime[]): TunedProduct {
  const { product, type, shapes } = products;
  const flop = shapes.reduce((sum, shape) => sum + work(products, shape), 0);
  const gflops = (seconds: number) => flop / seconds / 1e9;
  const plain = times.find(({ tile }) => tile === LARGE);
  if (plain?.seconds === undefined) throw new TuningFailed(`${product} ${type} does not work: ${plain?.reason ?? 'it was not timed'}`);
  const base = plain.seconds;
  let best = { tile: LARGE, seconds: base };
  for (const { tile, seconds = Number.POSITIVE_INFINITY } of times)
    if (CLEARLY * seconds < base && seconds < best.seconds) best = { tile, seconds };
  return {
    product,
    precision: type,
    tile: best.tile,
    gflops: gflops(best.seconds),
    defaultGflops: gflops(base),
    tiles: times.map(({ tile, seconds, reason }) => ({
      tile,
      ...(seconds !== undefined && { gflops: gflops(seconds) }),
      ...(reason !== undefined && { reason }),
    })),
  };
}
