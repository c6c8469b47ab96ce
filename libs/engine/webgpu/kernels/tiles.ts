/**
 * The template of matrix products C[M, N] = Σ_k A(m, k) · B(k, n). A workgroup computes a tile of C (tile-shapes.ts). It takes a few values of k at a
 * time into workgroup memory, as [k][m] and [k][n], from which each of its threads adds outer products in registers. Sums run over k in order, in fp32.
 * Factors in f16 stay f16 in workgroup memory.
 */
import type { ElementType } from '../../native/program-spec.js';
import { strideOf, type Tile, threadsOf } from './tile-shapes.js';

/**
 * 1, which no compiler knows: loops that it bounds are not unrolled. Unrolled, a product takes seconds to compile on a software device, and nothing is
 * gained, since what repeats inside them is written out.
 */
export const ONE = 'min(1u, call.n)';

/** A matrix in memory, row-major with rows of `stride` elements. Sizes are expressions in WGSL. */
export interface Factor {
  /** The operand's name. */
  name: string;
  /** Whether the values for one m (or n) lie side by side along k; otherwise those for one k lie side by side along m (or n). */
  along: 'k' | 'side';
  stride: string;
  /** Whether a row consists of whole vectors of four. */
  inFours: boolean;
}

export interface TileSums {
  /** With functions `row_of(s, lane)` and `column_of(s, lane)`: the row of `sums[s]` in the tile, and the first of its columns. */
  declarations: string;
  /** Statements that leave the thread's sums in `sums: array<vec4f>`, each of one row and four columns. */
  sums: string;
  /** Number of `sums`. */
  count: number;
}

interface TileSpec {
  a: Factor;
  b: Factor;
  /** Sizes of C, and the range of k. `m0`, `n0`: the first row and column of the tile. */
  m: string;
  n: string;
  begin: string;
  end: string;
  /** Whether the range of k consists of whole parts of the tile's depth. */
  whole: boolean;
  tile: Tile;
  /** What is multiplied: the loaded elements are numbers of this type. */
  type: ElementType;
}

export function tileSums({ a, b, m, n, begin, end, whole, tile, type }: TileSpec): TileSums {
  const { rows, columns, depth, down, across } = tile;
  // vec4f along a side that a thread owns
  const [eachDown, eachAcross] = [rows / 4 / down, columns / 4 / across];
  const [strideA, strideB] = [strideOf(rows), strideOf(columns)];
  const widened = (vector: string) => (type === 'f16' ? `vec4f(${vector})` : vector);
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  const variables = range(eachDown * 4).flatMap((i) => range(eachAcross).map((j) => ({ i, j, name: `sum_${i}_${j}` })));
  return {
    declarations: `
var<workgroup> tile_a: array<${vectorOf(type)}, ${depth * strideA}>;
var<workgroup> tile_b: array<${vectorOf(type)}, ${depth * strideB}>;
fn row_of(s: u32, lane: u32) -> u32 { let i = s / ${eachAcross}u; return i / 4u * ${4 * down}u + lane / ${across}u * 4u + i % 4u; }
fn column_of(s: u32, lane: u32) -> u32 { return s % ${eachAcross}u * ${4 * across}u + lane % ${across}u * 4u; }
`,
    count: variables.length,
    sums: `
  let thread_n = lane % ${across}u;
  let thread_m = lane / ${across}u;
${variables.map(({ name }) => `  var ${name} = vec4f(0.0);`).join('\n')}
  for (var k0 = ${begin}; k0 < ${end}; k0 += ${depth}u) {
${loadTile(a, { side: 'm', size: m, end, whole, quads: rows / 4, stride: strideA, tile, type })}
${loadTile(b, { side: 'n', size: n, end, whole, quads: columns / 4, stride: strideB, tile, type })}
    workgroupBarrier();
    for (var k = 0u; k < ${depth}u * ${ONE}; k++) {
${range(eachDown)
  .map((q) => `      let a_${q} = ${widened(`tile_a[k * ${strideA}u + thread_m + ${q * down}u]`)};`)
  .join('\n')}
${range(eachAcross)
  .map((q) => `      let b_${q} = ${widened(`tile_b[k * ${strideB}u + thread_n + ${q * across}u]`)};`)
  .join('\n')}
${variables.map(({ i, j, name }) => `      ${name} = fma(vec4f(a_${i >> 2}.${'xyzw'[i & 3]}), b_${j}, ${name});`).join('\n')}
    }
    workgroupBarrier();
  }
  // Sums are named while they grow, so that they are registers, and become an array for a loop that stores them in little code.
  var sums = array<vec4f, ${variables.length}>(${variables.map(({ name }) => name).join(', ')});`,
  };
}

/** The part of a factor that is loaded: along M or N, of a size; up to an end of k. */
interface Part {
  side: 'm' | 'n';
  size: string;
  end: string;
  whole: boolean;
  /** Vectors of four along the side, and the distance of two values of k in workgroup memory. */
  quads: number;
  stride: number;
  tile: Tile;
  type: ElementType;
}

const vectorOf = (type: ElementType) => (type === 'f16' ? 'vec4<f16>' : 'vec4f');
/** The vector as workgroup memory holds it. */
const narrowed = (vector: string, type: ElementType) => (type === 'f16' ? `vec4<f16>(${vector})` : vector);

/** The same for rows that lie along k, in blocks of four rows and four values of k, which a thread reads as vectors and turns. */
function loadBlocks({ name, stride: rowStride }: Factor, { side, size, end, whole, quads, stride, tile, type }: Part): string {
  const load = (e: number) => {
    const vector = `load4_${name}((min(side + ${e}u, ${size} - 1u) * ${rowStride} + at) / 4u)`;
    return whole ? vector : `select(vec4f(0.0), ${vector}, k0 + k < ${end})`;
  };
  const rows = [0, 1, 2, 3];
  return `    for (var t = lane; t < ${(tile.depth / 4) * quads}u * ${ONE}; t += ${threadsOf(tile)}u) {
      let k = t % ${tile.depth / 4}u * 4u;
      let quad = t / ${tile.depth / 4}u;
      let side = ${side}0 + 4u * quad;
      let at = ${whole ? 'k0 + k' : `min(k0 + k, ${end} - 4u)`};
${rows.map((e) => `      let row_${e} = ${load(e)};`).join('\n')}
${rows.map((c) => `      tile_${side === 'm' ? 'a' : 'b'}[(k + ${c}u) * ${stride}u + quad] = ${narrowed(`vec4f(${rows.map((e) => `row_${e}.${'xyzw'[c]}`).join(', ')})`, type)};`).join('\n')}
    }`;
}

/**
 * Loads a factor's part of the tile. Rows and columns beyond C repeat its last ones, since their sums are not stored; beyond the end of k are zeros.
 */
function loadTile(factor: Factor, part: Part): string {
  const { name, along, stride: rowStride, inFours } = factor;
  const { side, size, end, whole, quads, stride, tile, type } = part;
  if (along === 'k' && inFours) return loadBlocks(factor, part);
  const last = `${size} - 1u`;
  const [k, quad] = along === 'k' ? [`t % ${tile.depth}u`, `t / ${tile.depth}u`] : [`t / ${quads}u`, `t % ${quads}u`];
  const element = (e: number) => {
    const place = `min(side + ${e}u, ${last})`;
    return along === 'k' ? `load_${name}(${place} * ${rowStride} + at)` : `load_${name}(at * ${rowStride} + ${place})`;
  };
  const vector =
    along === 'side' && inFours
      ? `load4_${name}((at * ${rowStride} + min(side, ${size} - 4u)) / 4u)`
      : `vec4f(${[0, 1, 2, 3].map(element).join(', ')})`;
  return `    for (var t = lane; t < ${tile.depth * quads}u * ${ONE}; t += ${threadsOf(tile)}u) {
      let k = ${k};
      let quad = ${quad};
      let side = ${side}0 + 4u * quad;
      let at = ${whole ? 'k0 + k' : `min(k0 + k, ${end} - 1u)`};
      tile_${side === 'm' ? 'a' : 'b'}[k * ${stride}u + quad] = ${narrowed(whole ? vector : `select(vec4f(0.0), ${vector}, k0 + k < ${end})`, type)};
    }`;
}
