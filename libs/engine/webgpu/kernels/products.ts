/** Matrix products: linear layers with their epilogues, and both of their gradients. */
import { columnSums, sumOfPartials, together } from './column-sums.js';
import { GELU } from './gaussian.js';
import { type DeviceCall, type DeviceKernel, type KernelGenerator, type OperandReference, shader } from './kernel.js';
import { kindOf, type TiledProduct, threadsOf, tileFor } from './tile-shapes.js';
import { type Factor, ONE, tileSums } from './tiles.js';
import { inWholeWords } from './whole-words.js';

/** y[R, out] = x[R, in] · weight[out, in]ᵀ (+ bias). With gelu: y = GELU(sum), and slope = GELU'(sum) where it is stored. */
const linearProduct: KernelGenerator = (call) => {
  const { rows = 1, in: k = 1, out: n = 1, gelu = 0 } = call.attributes;
  const hasBias = call.inputs.bias !== undefined;
  const hasSlope = call.outputs.slope !== undefined;
  const steps = [
    hasBias ? addBias(n) : '',
    hasSlope ? `let s = vec4f(gelu_slope(v.x), gelu_slope(v.y), gelu_slope(v.z), gelu_slope(v.w));\n${storeFour('slope', 's', n)}` : '',
    gelu === 1 ? 'v = vec4f(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w));' : '',
    storeFour('y', 'v', n),
  ];
  return rowsProduct(call, {
    operands: {
      x: 'in.x',
      weight: 'in.weight',
      ...(hasBias && { bias: 'in.bias' }),
      ...(hasSlope && { slope: 'out.slope' }),
      y: 'out.y',
    },
    a: { name: 'x', along: 'k' },
    b: { name: 'weight', along: 'k' },
    rows,
    n,
    k,
    declarations: gelu === 1 ? GELU : '',
    store: steps.join('\n  '),
  });
};

const addBias = (n: number) =>
  n % 4 === 0 ? 'v += load4_bias(column / 4u);' : 'v += vec4f(load_bias(c.x), load_bias(c.y), load_bias(c.z), load_bias(c.w));';

/** y[R, in] = dy[R, out] · weight. With gelu: times slope[R, in]. */
const linearInputGradProduct: KernelGenerator = (call) => {
  const { rows = 1, in: n = 1, out: k = 1, gelu = 0 } = call.attributes;
  const slope =
    n % 4 === 0 ? 'v *= load4_slope(i / 4u);' : `v *= vec4f(load_slope(i), load_slope(i + 1u), load_slope(i + 2u), load_slope(i + 3u));`;
  return rowsProduct(call, {
    operands: { dy: 'in.dy', weight: 'in.weight', ...(gelu === 1 && { slope: 'in.slope' }), y: 'out.y' },
    a: { name: 'dy', along: 'k' },
    b: { name: 'weight', along: 'side' },
    rows,
    n,
    k,
    declarations: '',
    store: `${gelu === 1 ? slope : ''}\n  ${storeFour('y', 'v', n)}`,
  });
};

export const linear = inWholeWords(({ rows = 1, out = 1 }) => ({ columns: out, perSample: rows * out }), linearProduct);
export const linearInputGrad = inWholeWords(({ rows = 1, in: n = 1 }) => ({ columns: n, perSample: rows * n }), linearInputGradProduct);

interface RowsProduct {
  operands: Readonly<Record<string, OperandReference>>;
  a: Omit<Factor, 'stride' | 'inFours'>;
  b: Omit<Factor, 'stride' | 'inFours'>;
  /** Of A and C, per sample. */
  rows: number;
  n: number;
  k: number;
  declarations: string;
  /** Stores `v: vec4f`, the sums of four columns, at element `i`; `c` are the columns, at most the last one. `count` of the four exist. */
  store: string;
}

/** The sizes of a product, as its code knows them: shapes share pipelines. */
const [ROWS, N, K] = ['call.sizes.x', 'call.sizes.y', 'call.sizes.z'];

/** C has rows of all samples. */
function rowsProduct(call: DeviceCall, { operands, a, b, rows, n, k, declarations, store }: RowsProduct): DeviceKernel {
  // A product multiplies in the type of its activations.
  const type = call.inputs[a.name]?.type ?? 'fp32';
  const tile = tileFor(call.chunkSamples * rows, n, chosenTile(call, a.name));
  const factor = (one: RowsProduct['a'], side: string, size: number): Factor =>
    one.along === 'k' ? { ...one, stride: K, inFours: k % 4 === 0 } : { ...one, stride: side, inFours: size % 4 === 0 };
  const {
    declarations: memory,
    sums,
    count,
  } = tileSums({
    a: factor(a, ROWS, rows),
    b: factor(b, N, n),
    m: 'm_size',
    n: N,
    begin: '0u',
    end: K,
    whole: k % tile.depth === 0,
    tile,
    type,
  });
  const across = Math.ceil(n / tile.columns);
  const height = (samples: number) => Math.ceil((samples * rows) / tile.rows);
  // Workgroups of one row of tiles are neighbours, so that they read the same rows of A at about the same time.
  return {
    dispatches: [
      shader(call, {
        label: call.kernel,
        operands,
        rounded: type === 'fp32' ? undefined : { operand: b.name, to: type },
        usesF16: type === 'f16',
        workgroupSize: threadsOf(tile),
        sizes: [rows, n, k],
        workgroups: (samples) => [across, Math.min(height(samples), FOLD), Math.ceil(height(samples) / FOLD)],
        declarations: `${memory}${declarations}
fn finish(row: u32, column: u32, m_size: u32, sum: vec4f) {
  if (row >= m_size || column >= ${N}) { return; }
  let i = row * ${N} + column;
  let c = min(vec4u(column) + vec4u(0u, 1u, 2u, 3u), vec4u(${N} - 1u));
  let count = ${N} - column;
  var v = sum;
  ${store}
}`,
        body: `
  let m_size = call.n * ${ROWS};
  let m0 = (group.z * ${FOLD}u + group.y) * ${tile.rows}u;
  let n0 = group.x * ${tile.columns}u;
  if (m0 >= m_size) { return; }
${sums}
  for (var s = 0u; s < ${count}u * ${ONE}; s++) { finish(m0 + row_of(s, lane), n0 + column_of(s, lane), m_size, sums[s]); }`,
      }),
    ],
  };
}

/** What was chosen for this product in the type that it multiplies, which is that of its activations. */
const chosenTile = ({ kernel, inputs, tiles }: DeviceCall, activations: string) =>
  tiles?.[kindOf(kernel as TiledProduct, inputs[activations]?.type ?? 'fp32')];

/** Most rows of tiles in one direction of workgroups. */
const FOLD = 32_768;

/** Stores those of four columns that exist, beginning at element i. */
function storeFour(name: string, value: string, n: number): string {
  if (n % 4 === 0) return `store4_${name}(i / 4u, ${value});`;
  if (n % 2 === 0) return `store2_${name}(i / 2u, ${value}.xy);\n  if (count > 2u) { store2_${name}(i / 2u + 1u, ${value}.zw); }`;
  return ['x', 'y', 'z', 'w'].map((c, e) => `if (count > ${e}u) { store_${name}(i + ${e}u, ${value}.${c}); }`).join('\n  ');
}

/** Values of k that one workgroup sums; the sums of several are then added in order. Constant, because the order of the sums depends on it. */
const ROWS_PER_SPLIT = 1024;

/** weight[out, in] += dyᵀ · x, bias += Σ dy. Rows are split between workgroups, since the result has few tiles. */
export const linearWeightGrad: KernelGenerator = (call) => {
  const { rows = 1, in: n = 1, out: m = 1 } = call.attributes;
  const type = call.inputs.dy?.type ?? 'fp32';
  const tile = tileFor(m, n, chosenTile(call, 'dy'));
  const M = K; // the third size
  const splits = (samples: number) => Math.ceil((samples * rows) / ROWS_PER_SPLIT);
  const direct = splits(call.chunkSamples) === 1;
  const { declarations, sums, count } = tileSums({
    a: { name: 'dy', along: 'side', stride: M, inFours: m % 4 === 0 },
    b: { name: 'x', along: 'side', stride: N, inFours: n % 4 === 0 },
    m: M,
    n: N,
    begin: `group.z * ${ROWS_PER_SPLIT}u`,
    end: 'end',
    whole: false,
    tile,
    type,
  });
  const store = direct
    ? (e: number, c: string) => `store_weight(i + ${e}u, load_weight(i + ${e}u) + sum.${c});`
    : (e: number, c: string) => `store_partial(i + ${e}u, sum.${c});`;
  const storeWhole = direct ? 'store4_weight(i / 4u, load4_weight(i / 4u) + sum);' : 'store4_partial(i / 4u, sum);';
  const product = shader(call, {
    label: call.kernel,
    usesF16: type === 'f16',
    operands: { dy: 'in.dy', x: 'in.x', ...(direct ? { weight: 'out.weight' } : { partial: 'scratch.weight' }) },
    workgroupSize: threadsOf(tile),
    sizes: [rows, n, m],
    workgroups: (samples) => [Math.ceil(n / tile.columns), Math.ceil(m / tile.rows), splits(samples)],
    declarations: `${declarations}
fn finish(row: u32, column: u32, split: u32, sum: vec4f) {
  if (row >= ${M} || column >= ${N}) { return; }
  let i = (split * ${M} + row) * ${N} + column;
  let count = ${N} - column;
  ${n % 4 === 0 ? storeWhole : ['x', 'y', 'z', 'w'].map((c, e) => `if (count > ${e}u) { ${store(e, c)} }`).join('\n  ')}
}`,
    body: `
  let m0 = group.y * ${tile.rows}u;
  let n0 = group.x * ${tile.columns}u;
  let end = min((group.z + 1u) * ${ROWS_PER_SPLIT}u, call.n * ${ROWS});
${sums}
  for (var s = 0u; s < ${count}u * ${ONE}; s++) { finish(m0 + row_of(s, lane), n0 + column_of(s, lane), group.z, sums[s]); }`,
  });
  const weight: DeviceKernel = direct
    ? { dispatches: [product] }
    : {
        dispatches: [
          product,
          sumOfPartials(call, {
            label: `${call.kernel} (splits)`,
            gradients: ['weight'],
            elements: m * n,
            rows,
            rowsPerPartial: ROWS_PER_SPLIT,
          }),
        ],
        scratch: { weight: splits(call.chunkSamples) * m * n },
      };
  if (call.outputs.bias === undefined) return weight;
  const bias = columnSums(call, {
    label: `${call.kernel} (bias)`,
    operands: { dy: 'in.dy' },
    rows,
    columns: m,
    sums: { bias: 'load_dy(r * COLUMNS + c)' },
  });
  return together(weight, bias);
};
