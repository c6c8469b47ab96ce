/**
 * The template of matrix products C[M, N] = Σ_k A(m, k) · B(k, n). A workgroup computes a square tile of C. It takes DEPTH values of k at a time into
 * workgroup memory, as [k][m] and [k][n], from which each of its 64 threads adds outer products in registers. Sums run over k in order.
 */

/** A size: known when the shader is made, or an expression of the chunk's samples. */
export type Size = number | string;

/** A matrix in memory, row-major with rows of `stride` elements. */
export interface Factor {
  /** The operand's name. */
  name: string;
  /** Whether the values for one m (or n) lie side by side along k; otherwise those for one k lie side by side along m (or n). */
  along: 'k' | 'side';
  stride: number;
}

export interface Tile {
  /** Rows and columns of C in a workgroup: 64 or 32. */
  side: 64 | 32;
}

const THREADS = 64;
/** Threads along each side of the tile. */
const ACROSS = 8;
const DEPTH = 16;

export const tileThreads = THREADS;

/** The larger tile needs fewer loads a product, the smaller wastes less at the edges of small matrices. */
export const tileFor = (m: number, n: number): Tile => ({ side: Math.min(m, n) > 32 ? 64 : 32 });

export interface TileSums {
  declarations: string;
  /** Statements that leave the sums in `sum_I_J`, a vec4f for row `row_of(I, …)` and four columns. */
  sums: string;
  /** The places of the sums that a thread has: WGSL of the row, of the first of four columns, and the variable. */
  places: { row: string; column: string; sum: string }[];
}

/** `begin` and `end`: the range of k in WGSL, begin a multiple of DEPTH from the first k. `m0`, `n0`: the first row and column of the tile. */
export function tileSums(spec: {
  a: Factor;
  b: Factor;
  m: Size;
  n: Size;
  begin: string;
  end: Size;
  tile: Tile;
}): TileSums {
  const { a, b, m, n, begin, end, tile } = spec;
  const quads = tile.side / 4; // vec4f along a side
  const each = quads / ACROSS; // vec4f of a side that a thread owns
  const stride = quads + 1; // one more, so that the threads of a load write to different banks
  const load = (factor: Factor, side: 'm' | 'n', size: Size) => loadTile(factor, side, size, end, quads, stride);
  const [loadA, loadB] = [load(a, 'm', m), load(b, 'n', n)];
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  const rows = range(each * 4);
  const variable = (i: number, j: number) => `sum_${i}_${j}`;
  const products = rows.map((i) =>
    range(each)
      .map((j) => `${variable(i, j)} = fma(vec4f(a_${i >> 2}.${'xyzw'[i & 3]}), b_${j}, ${variable(i, j)});`)
      .join(' '),
  );
  return {
    declarations: `
var<workgroup> tile_a: array<vec4f, ${DEPTH * stride}>;
var<workgroup> tile_b: array<vec4f, ${DEPTH * stride}>;
`,
    sums: `
  let thread_n = lane % ${ACROSS}u;
  let thread_m = lane / ${ACROSS}u;
${rows.flatMap((i) => range(each).map((j) => `  var ${variable(i, j)} = vec4f(0.0);`)).join('\n')}
${loadA.before}
${loadB.before}
  for (var k0 = ${begin}; k0 < ${literal(end)}; k0 += ${DEPTH}u) {
${loadA.each}
${loadB.each}
    workgroupBarrier();
    for (var k = 0u; k < ${DEPTH}u; k++) {
${range(each).map((q) => `      let a_${q} = tile_a[k * ${stride}u + thread_m + ${q * ACROSS}u];`).join('\n')}
${range(each).map((q) => `      let b_${q} = tile_b[k * ${stride}u + thread_n + ${q * ACROSS}u];`).join('\n')}
      ${products.join('\n      ')}
    }
    workgroupBarrier();
  }`,
    places: rows.flatMap((i) =>
      range(each).map((j) => ({
        row: `m0 + ${(i >> 2) * ACROSS * 4 + (i & 3)}u + 4u * thread_m`,
        column: `n0 + ${j * ACROSS * 4}u + 4u * thread_n`,
        sum: variable(i, j),
      })),
    ),
  };
}

const literal = (size: Size) => (typeof size === 'number' ? `${size}u` : size);

/**
 * Loads a factor's part of the tile. Rows and columns beyond C repeat its last ones, since their sums are not stored; beyond the end of k are zeros.
 */
function loadTile({ name, along, stride: rowStride }: Factor, side: 'm' | 'n', size: Size, end: Size, quads: number, stride: number) {
  const into = side === 'm' ? 'tile_a' : 'tile_b';
  const all = DEPTH * quads;
  const before: string[] = [];
  const each: string[] = [];
  const last = typeof size === 'number' ? `${size - 1}u` : `${size} - 1u`;
  const bounded = typeof end === 'number' && end % DEPTH === 0;
  for (let t = 0; t * THREADS < all; t++) {
    const id = `${side}${t}`;
    before.push(`  let at_${id} = lane + ${t * THREADS}u;`);
    const [k, quad] = along === 'k' ? [`at_${id} % ${DEPTH}u`, `at_${id} / ${DEPTH}u`] : [`at_${id} / ${quads}u`, `at_${id} % ${quads}u`];
    before.push(`  let k_${id} = ${k};`, `  let quad_${id} = ${quad};`, `  let side_${id} = ${side}0 + 4u * quad_${id};`);
    const kk = bounded ? `k0 + k_${id}` : `min(k0 + k_${id}, ${literal(end)} - 1u)`;
    let value: string;
    if (along === 'k') {
      const rows = [0, 1, 2, 3].map((e) => {
        before.push(`  let row_${id}_${e} = min(side_${id} + ${e}u, ${last}) * ${rowStride}u;`);
        return `load_${name}(row_${id}_${e} + kk_${id})`;
      });
      value = `vec4f(${rows.join(', ')})`;
    } else if (rowStride % 4 === 0) {
      before.push(`  let column_${id} = min(side_${id}, ${last} - 3u);`);
      value = `load4_${name}((kk_${id} * ${rowStride}u + column_${id}) / 4u)`;
    } else {
      const columns = [0, 1, 2, 3].map((e) => `load_${name}(kk_${id} * ${rowStride}u + min(side_${id} + ${e}u, ${last}))`);
      value = `vec4f(${columns.join(', ')})`;
    }
    const kept = bounded ? value : `select(vec4f(0.0), ${value}, k0 + k_${id} < ${literal(end)})`;
    each.push(`    let kk_${id} = ${kk};`, `    ${into}[k_${id} * ${stride}u + quad_${id}] = ${kept};`);
  }
  return { before: before.join('\n'), each: each.join('\n') };
}
