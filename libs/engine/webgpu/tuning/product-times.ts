/** Times one kind of product with every tile, on the thread of the device. */
import { setTimeout as delay } from 'node:timers/promises';
import { quietly } from '#bounds/quietly.js';
import type { ElementType } from '../../native/program-spec.js';
import type { DeviceMemory } from '../arena.js';
import { LARGE, productSizes, type TiledProduct, type TileName, tileFor, tileNames } from '../kernels/tile-shapes.js';
import type { ProductShape } from './product-call.js';
import { differs, type PreparedProduct, ProductRunner } from './product-runner.js';

export interface TimedShape extends ProductShape {
  /** How often the models compute it. */
  calls: number;
}

/** The products of one kind in all models. */
export interface ProductsToTime {
  product: TiledProduct;
  type: ElementType;
  shapes: readonly TimedShape[];
}

export interface TileTime {
  tile: TileName;
  /** Of all calls of all shapes; absent if the tile cannot be chosen. */
  seconds?: number;
  /** Why it cannot be chosen. */
  reason?: string;
}

/** A tile whose shaders take longer to compile is left out. */
const COMPILE_MS = 30_000;
/** A submission should take so long at least that the host's part in it does not count. */
const LEAST_SECONDS = 0.01;
const MOST_REPEATS = 1024;
/** Rounds over all tiles, so that a clock that changes meanwhile changes it for all; the fastest counts. */
const ROUNDS = 3;
/** A tile that is so many times slower than the best one after a round is not timed again. */
const HOPELESS = 2;

interface Candidate {
  tile: TileName;
  products: PreparedProduct[];
  /** Fastest times of the shapes. */
  best: number[];
}

/** `next` is called before every piece of work; what it throws ends the timing. @throws OutOfDeviceMemory */
export async function timesOfTiles(
  device: GPUDevice,
  memory: DeviceMemory,
  { product, type, shapes }: ProductsToTime,
  next: (tile: TileName) => void,
): Promise<TileTime[]> {
  const runner = await ProductRunner.create(device, memory, product, type, shapes);
  try {
    const left: TileTime[] = [];
    const candidates: Candidate[] = [];
    const tiles = [LARGE, ...tileNames.filter((tile) => tile !== LARGE)];
    for (const tile of tiles) {
      next(tile);
      const at = tile === LARGE ? 0 : shapes.findIndex((shape) => isUsed(product, shape, tile));
      const found = at < 0 ? 'no product of the models fills it' : await candidate(runner, shapes, tile, at, candidates[0], type);
      if (typeof found === 'string') left.push({ tile, reason: found });
      else candidates.push(found);
      // Nothing says what is right.
      if (candidates.length === 0) break;
    }
    await timeInRounds(runner, candidates, shapes, next);
    return [...candidates.map(({ tile, best }) => ({ tile, seconds: total(best, shapes) })), ...left];
  } finally {
    runner.free();
  }
}

/** The compiled tile, or why it cannot be chosen. `at`: a shape that has it. `plain`: the default tile, unless this is it. */
async function candidate(
  runner: ProductRunner,
  shapes: readonly TimedShape[],
  tile: TileName,
  at: number,
  plain: Candidate | undefined,
  type: ElementType,
): Promise<Candidate | string> {
  const products = await inTime(Promise.all(shapes.map((shape) => runner.prepare(shape, tile))));
  if (typeof products === 'string') return products;
  const found = await runner.result(products[at]!);
  const wanted = plain === undefined ? found : await runner.result(plain.products[at]!);
  if (typeof found === 'string') return found;
  if (typeof wanted === 'string' || differs(wanted, found, type)) return `its sums are not those of ${LARGE}`;
  return { tile, products, best: shapes.map(() => Number.POSITIVE_INFINITY) };
}

async function timeInRounds(
  runner: ProductRunner,
  candidates: readonly Candidate[],
  shapes: readonly TimedShape[],
  next: (tile: TileName) => void,
): Promise<void> {
  const [first] = candidates;
  if (first === undefined) return;
  const repeats: number[] = [];
  for (const product of first.products) {
    next(first.tile);
    repeats.push(await repeatsFor(runner, product));
  }
  let going = candidates;
  for (let round = 0; round < ROUNDS; round++) {
    for (const { tile, products, best } of going)
      for (const [at, product] of products.entries()) {
        next(tile);
        best[at] = Math.min(best[at]!, await runner.seconds(product, repeats[at]!));
      }
    const least = Math.min(...going.map(({ best }) => total(best, shapes)));
    going = going.filter(({ best }) => total(best, shapes) <= HOPELESS * least);
  }
}

async function repeatsFor(runner: ProductRunner, product: PreparedProduct): Promise<number> {
  for (let repeats = 1; ; repeats *= 4) {
    const seconds = await runner.seconds(product, repeats);
    if (seconds * repeats >= LEAST_SECONDS || repeats >= MOST_REPEATS) return repeats;
  }
}

/** Whether a shape has this tile if it is chosen, and another one otherwise. */
function isUsed(product: TiledProduct, shape: TimedShape, tile: TileName): boolean {
  const { m, n } = productSizes(product, shape, shape.samples);
  return tileFor(m, n, tile).name === tile && tileFor(m, n, undefined).name !== tile;
}

const total = (seconds: readonly number[], shapes: readonly TimedShape[]): number =>
  shapes.reduce((sum, { calls }, at) => sum + calls * seconds[at]!, 0);

/** The result, or why there is none. */
async function inTime<T>(work: Promise<T>): Promise<T | string> {
  const ended = new AbortController();
  const late = delay(COMPILE_MS, `its shaders take longer than ${COMPILE_MS / 1000} s to compile`, { signal: ended.signal });
  try {
    return await Promise.race([quietly(work), quietly(late)]);
  } catch (error) {
    return (error as Error).message;
  } finally {
    ended.abort();
  }
}
