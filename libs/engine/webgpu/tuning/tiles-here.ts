/** Which tiles programs on an adapter have: those of the checkpoint that a run goes on from, otherwise those that were tuned, otherwise the default. */
import type { AdapterDescription } from '../device.js';
import { kindOf, type TileName, type Tiles, tiledProducts, tileNames, tunedTypes } from '../kernels/tile-shapes.js';
import { productsDigest } from './product-call.js';
import { NotATuningFile, readTuned, sameKey, type TunedAdapter, type TuningKey, tuningFile } from './tuned-file.js';

export function tuningKey({ name, driver, dawn }: Pick<AdapterDescription, 'name' | 'driver' | 'dawn'>): TuningKey {
  return { adapter: name, driver, dawn, kernels: productsDigest() };
}

/** The tuned tiles; none if the adapter was not tuned. A file that cannot be used is ignored, with a warning. */
export function tunedTiles(adapter: Pick<AdapterDescription, 'name' | 'driver' | 'dawn'>): Tiles {
  const path = tuningFile();
  if (path === undefined) return {};
  try {
    const own = find(path, tuningKey(adapter));
    return own === undefined ? {} : checked(path, own);
  } catch (error) {
    if (!(error instanceof NotATuningFile)) throw error;
    warnOnce(error);
    return {};
  }
}

/** Whether the adapter was tuned, as a clause for people. */
export function tuningState(adapter: Pick<AdapterDescription, 'name' | 'driver' | 'dawn'>): string {
  const path = tuningFile();
  if (path === undefined) return 'has default tiles (DROPSTREAM_GPU_TUNING is none, or there is no home folder)';
  const key = tuningKey(adapter);
  try {
    const own = find(path, key);
    if (own !== undefined) {
      checked(path, own);
      return `was tuned on ${own.tunedAt.slice(0, 10)}`;
    }
    const before = readTuned(path).some((one) => one.adapter === key.adapter);
    return before
      ? 'was tuned with another driver or version, so that it has default tiles; run dropstream tune again'
      : 'was not tuned (dropstream tune)';
  } catch (error) {
    if (error instanceof NotATuningFile) return `has default tiles, because ${error.message}`;
    throw error;
  }
}

const find = (path: string, key: TuningKey): TunedAdapter | undefined => readTuned(path).find((one) => sameKey(one, key));

/** @throws NotATuningFile for tiles that these kernels do not have */
function checked(path: string, { tiles }: TunedAdapter): Tiles {
  for (const [product, tile] of Object.entries(tiles))
    if (!isChoice(product, tile)) throw new NotATuningFile(path, `there is no tile ${JSON.stringify(tile)} for ${JSON.stringify(product)}`);
  return tiles as Tiles;
}

const products = new Set<string>(tiledProducts.flatMap((product) => tunedTypes.map((type) => kindOf(product, type))));
const names = new Set<string>(tileNames);

export const isChoice = (product: string, tile: string): tile is TileName => products.has(product) && names.has(tile);

const warned = new Set<string>();

function warnOnce({ path, message }: NotATuningFile): void {
  if (warned.has(path)) return;
  warned.add(path);
  process.emitWarning(`${message}. It is ignored; delete it, or let DROPSTREAM_GPU_TUNING name another one`);
}
