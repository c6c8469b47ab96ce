/**
 * The shapes of tiles that matrix products can have. Every shape is right on every adapter: it needs no more workgroup memory and threads than
 * WebGPU guarantees, and products.test.ts compares each with float64. Which one is fastest depends on the GPU (../tuning/). The order of every sum
 * is the same in all of them, but compilers may fuse what they contain differently, so the shapes are part of the numerics fingerprint.
 */
import type { ElementType } from '../../native/program-spec.js';

export interface Tile {
  name: TileName;
  /** Rows and columns of C in a workgroup, and the values of k that are in workgroup memory at a time. */
  rows: number;
  columns: number;
  depth: number;
  /** Threads along the rows and along the columns. Each owns whole vectors of four on both sides. */
  down: number;
  across: number;
}

/** ROWSxCOLUMNSxDEPTH@THREADS. Names stand in fingerprints and in the file of tuned choices: a name never gets another meaning. */
export const tileNames = ['64x64x16@64', '32x32x16@64', '64x64x16@256', '128x64x16@128', '64x128x16@128', '128x128x8@256'] as const;
export type TileName = (typeof tileNames)[number];

const threads: Readonly<Record<TileName, Pick<Tile, 'down' | 'across'>>> = {
  '64x64x16@64': { down: 8, across: 8 },
  '32x32x16@64': { down: 8, across: 8 },
  '64x64x16@256': { down: 16, across: 16 },
  '128x64x16@128': { down: 16, across: 8 },
  '64x128x16@128': { down: 8, across: 16 },
  '128x128x8@256': { down: 16, across: 16 },
};

export function tileNamed(name: TileName): Tile {
  const [rows, columns, depth] = name.split(/[x@]/).map(Number) as [number, number, number];
  return { name, rows, columns, depth, ...threads[name] };
}

/** What a GPU gets that was not tuned: for matrices with more than 32 rows and columns, and for all others. */
export const LARGE: TileName = '64x64x16@64';
const SMALL: TileName = '32x32x16@64';

export const threadsOf = ({ down, across }: Tile): number => down * across;

/** Bytes of workgroup memory. */
export const workgroupBytes = ({ rows, columns, depth }: Tile): number => 16 * depth * (strideOf(rows) + strideOf(columns));

/** Vectors of four from one k to the next; one more than there are, so that the threads of a load write to different banks. */
export const strideOf = (side: number): number => side / 4 + 1;

/** The products whose tiles are chosen, each for the type that it multiplies. */
export const tiledProducts = ['linear', 'linear_input_grad', 'linear_weight_grad'] as const;
export type TiledProduct = (typeof tiledProducts)[number];

/** The types whose tiles can be chosen. In f16, every GPU has the default ones. */
export const tunedTypes = ['fp32', 'bf16'] as const satisfies readonly ElementType[];

/** A product in the type that it multiplies. */
export type ProductKind = `${TiledProduct}.${ElementType}`;
export const kindOf = (product: TiledProduct, type: ElementType): ProductKind => `${product}.${type}`;

/** The chosen tiles; what is absent has the tiles of a GPU that was not tuned. */
export type Tiles = Readonly<Partial<Record<ProductKind, TileName>>>;

/**
 * The tile of a product with m rows and n columns. A chosen one is used for matrices that fill it: the smaller tiles waste less at the edges of small
 * matrices, and the larger ones need fewer loads a product.
 */
export function tileFor(m: number, n: number, chosen: TileName | undefined): Tile {
  if (chosen !== undefined) {
    const tile = tileNamed(chosen);
    if (m >= tile.rows && n >= tile.columns) return tile;
  }
  return tileNamed(Math.min(m, n) > 32 ? LARGE : SMALL);
}

/** Rows, columns and length of the sums of a product, for a number of samples. */
export function productSizes(
  product: TiledProduct,
  { rows = 1, in: inputs = 1, out = 1 }: { rows?: number; in?: number; out?: number },
  samples: number,
) {
  if (product === 'linear') return { m: samples * rows, n: out, k: inputs };
  if (product === 'linear_input_grad') return { m: samples * rows, n: inputs, k: out };
  return { m: out, n: inputs, k: samples * rows };
}

export const isTiledProduct = (kernel: string): kernel is TiledProduct => (tiledProducts as readonly string[]).includes(kernel);
