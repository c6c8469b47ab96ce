/**
 * Attention, over all tokens or over windows of them, without a map of all pairs in memory. A workgroup takes a group of tokens that attend to each
 * other (a sample's, or a window's) in one head, and up to 64 of its tokens: a thread has one of them in registers, and goes over the others in
 * order, which the workgroup reads together, a few at a time.
 */
import { columnSums, together } from './column-sums.js';
import { type DeviceCall, type DeviceKernel, type Dispatch, type OperandReference, shader } from './kernel.js';
import { ONE } from './tiles.js';
import { inWholeWords } from './whole-words.js';

const THREADS = 64;
/** Tokens that are in workgroup memory at a time. */
const STAGED = 16;

interface Groups {
  /** Groups of a sample, and tokens of a group. */
  count: number;
  tokens: number;
  heads: number;
  headDim: number;
  scale: number;
  /** Declares `token_at(g, i)`, the place in its sample of token i of group g, and `bias_of(g, h, i, j)`, added to a score. */
  declarations: string;
  operands: Readonly<Record<string, OperandReference>>;
  /** Present if there is a bias table: its number of rows, with `table_row(i, j)` in the declarations. */
  tableRows?: number;
}

function allTokens({ attributes }: DeviceCall): Groups {
  const { tokens = 1, heads = 1, head_dim: headDim = 1, scale = 1 } = attributes;
  const declarations = `
fn token_at(g: u32, i: u32) -> u32 { return i; }
fn bias_of(g: u32, h: u32, i: u32, j: u32) -> f32 { return 0.0; }
`;
  return { count: 1, tokens, heads, headDim, scale, declarations, operands: {} };
}

/** Tokens are rolled by −shift and cut into windows; between regions that only the roll joined, −100 is added to the scores. */
function windows({ attributes }: DeviceCall): Groups {
  const { height = 1, width = 1, window = 1, shift = 0, heads = 1, head_dim: headDim = 1, scale = 1 } = attributes;
  const across = width / window;
  const declarations = `
fn row_in(g: u32, i: u32) -> u32 { return g / ${across}u * ${window}u + i / ${window}u; }
fn column_in(g: u32, i: u32) -> u32 { return g % ${across}u * ${window}u + i % ${window}u; }
fn token_at(g: u32, i: u32) -> u32 {
  return (row_in(g, i) + ${shift}u) % ${height}u * ${width}u + (column_in(g, i) + ${shift}u) % ${width}u;
}
fn band(at: u32, side: u32) -> u32 { return select(select(2u, 1u, at < side - ${shift}u), 0u, at < side - ${window}u); }
fn region(g: u32, i: u32) -> u32 { return 3u * band(row_in(g, i), ${height}u) + band(column_in(g, i), ${width}u); }
fn table_row(i: u32, j: u32) -> u32 {
  return (i / ${window}u + ${window - 1}u - j / ${window}u) * ${2 * window - 1}u + i % ${window}u + ${window - 1}u - j % ${window}u;
}
fn bias_of(g: u32, h: u32, i: u32, j: u32) -> f32 {
  let bias = load_table(table_row(i, j) * ${heads}u + h);
  return ${shift === 0 ? 'bias' : 'select(bias - 100.0, bias, region(g, i) == region(g, j))'};
}
`;
  const tableRows = (2 * window - 1) ** 2;
  return {
    count: (height / window) * across,
    tokens: window * window,
    heads,
    headDim,
    scale,
    declarations,
    operands: { table: 'in.table' },
    tableRows,
  };
}

/** Vectors of four that hold a row of one head; the last one is filled with zeros. */
const quadsOf = ({ headDim }: Groups) => Math.ceil(headDim / 4);
/** Workgroups for the tokens of a group. */
const blocksOf = ({ tokens }: Groups) => Math.ceil(tokens / THREADS);
const quads = (groups: Groups) => Array.from({ length: quadsOf(groups) }, (_, q) => q);

/** `read_NAME(at, q)`: the q-th vector of the row that begins at element `at`. */
function rowReader(name: string, { headDim }: Groups): string {
  if (headDim % 4 === 0) return `fn read_${name}(at: u32, q: u32) -> vec4f { return load4_${name}(at / 4u + q); }\n`;
  const parts = [0, 1, 2, 3].map(
    (e) => `select(0.0, load_${name}(at + min(4u * q + ${e}u, ${headDim - 1}u)), 4u * q + ${e}u < ${headDim}u)`,
  );
  return `fn read_${name}(at: u32, q: u32) -> vec4f { return vec4f(${parts.join(', ')}); }\n`;
}

/** `write_y(at, q, v)`: the same for `y`. */
function rowWriter({ headDim }: Groups): string {
  if (headDim % 4 === 0) return 'fn write_y(at: u32, q: u32, v: vec4f) { store4_y(at / 4u + q, v); }\n';
  if (headDim % 2 === 0) {
    return `fn write_y(at: u32, q: u32, v: vec4f) {
  store2_y(at / 2u + 2u * q, v.xy);
  if (4u * q + 2u < ${headDim}u) { store2_y(at / 2u + 2u * q + 1u, v.zw); }
}
`;
  }
  const parts = ['x', 'y', 'z', 'w'].map((c, e) => `if (4u * q + ${e}u < ${headDim}u) { store_y(at + 4u * q + ${e}u, v.${c}); }`);
  return `fn write_y(at: u32, q: u32, v: vec4f) { ${parts.join(' ')} }\n`;
}

interface Pass {
  label: string;
  operands: Readonly<Record<string, OperandReference>>;
  declarations: string;
  /** Before the loop over other tokens, `i` being the thread's own and `row(part, t)` where a token's row of q, k or v (0, 1, 2) begins. */
  before: string;
  /** Two rows of the other token that are staged: their operand, and where they begin for token `other`. */
  staged: readonly [name: string, at: string][];
  /** For one other token `j`, whose staged vectors are `staged_0[at]` … and `staged_1[at]` …. `has_own`: the thread has a token. */
  each: string;
  after: string;
}

function pass(call: DeviceCall, groups: Groups, { label, operands, declarations, before, staged, each, after }: Pass): Dispatch {
  const { count, tokens, heads, headDim } = groups;
  const [size, width] = [quadsOf(groups), heads * headDim];
  return shader(call, {
    label,
    operands: { ...operands, ...groups.operands },
    workgroupSize: THREADS,
    workgroups: (n) => [blocksOf(groups) * heads, Math.min(n * count, FOLD), Math.ceil((n * count) / FOLD)],
    dropout: true,
    declarations: `${staged.map((_, s) => `var<workgroup> staged_${s}: array<vec4f, ${STAGED * size}>;`).join('\n')}
${groups.declarations}${declarations}
fn row(s: u32, part: u32, t: u32, h: u32) -> u32 { return ((s * ${count * tokens}u + t) * 3u + part) * ${width}u + h * ${headDim}u; }
fn plain(s: u32, t: u32, h: u32) -> u32 { return (s * ${count * tokens}u + t) * ${width}u + h * ${headDim}u; }
`,
    body: `
  let in_order = group.z * ${FOLD}u + group.y;
  if (in_order >= call.n * ${count}u) { return; }
  let s = in_order / ${count}u;
  let g = in_order % ${count}u;
  let h = group.x % ${heads}u;
  let own = group.x / ${heads}u * ${THREADS}u + lane;
  let has_own = own < ${tokens}u;
  let i = min(own, ${tokens - 1}u);
  let t = token_at(g, i);
  let statistics = (in_order * ${heads}u + h) * ${tokens}u;
  let pairs = (g * ${heads}u + h) * ${tokens}u;
${before}
  for (var first = 0u; first < ${tokens}u * ${ONE}; first += ${STAGED}u) {
    let present = min(${STAGED}u, ${tokens}u - first);
    workgroupBarrier();
    for (var e = lane; e < present * ${size}u; e += ${THREADS}u) {
      let other = token_at(g, first + e / ${size}u);
${staged.map(([name, at], x) => `      staged_${x}[e] = read_${name}(${at}, e % ${size}u);`).join('\n')}
    }
    workgroupBarrier();
    for (var place = 0u; place < present; place++) {
      let j = first + place;
      let at = place * ${size}u;
${each}
    }
  }
${after}`,
  });
}

/** Most groups in one direction of workgroups. */
const FOLD = 32_768;

const dot = (groups: Groups, a: (q: number) => string, b: (q: number) => string) =>
  quads(groups)
    .map((q) => `dot(${a(q)}, ${b(q)})`)
    .join(' + ');

/** The factor of dropout of pair (i, j), for threads that go over j: one call of Philox for four of them. */
const CACHED_FACTOR = `      let element = (pairs + i) * TOKENSu + j;
      if (j == 0u || (element & 3u) == 0u) { factors = drop_factors(s, element >> 2u); }
      let factor = factors[element & 3u];`;

function forward(call: DeviceCall, groups: Groups): DeviceKernel {
  const all = quads(groups);
  const each = `      let score = ${dot(
    groups,
    (q) => `own_${q}`,
    (q) => `staged_0[at + ${q}u]`,
  )} + bias_of(g, h, i, j);
${CACHED_FACTOR.replace('TOKENS', String(groups.tokens))}
      if (score > top) {
        let shrink = exp(top - score);
        top = score;
        mass *= shrink;
${all.map((q) => `        sum_${q} *= shrink;`).join('\n')}
      }
      let weight = exp(score - top);
      mass += weight;
${all.map((q) => `      sum_${q} = fma(vec4f(weight * factor), staged_1[at + ${q}u], sum_${q});`).join('\n')}`;
  return {
    dispatches: [
      pass(call, groups, {
        label: call.kernel,
        operands: { qkv: 'in.qkv', y: 'out.y', lse: 'out.lse' },
        declarations: rowReader('qkv', groups) + rowWriter(groups),
        before: `  let query = row(s, 0u, t, h);
${all.map((q) => `  let own_${q} = read_qkv(query, ${q}u) * ${groups.scale};\n  var sum_${q} = vec4f(0.0);`).join('\n')}
  var top = -3.4e38;
  var mass = 0.0;
  var factors = vec4f(1.0);`,
        staged: [
          ['qkv', 'row(s, 1u, other, h)'],
          ['qkv', 'row(s, 2u, other, h)'],
        ],
        each,
        after: `  if (!has_own) { return; }
  store_lse(statistics + i, top + log(mass));
${all.map((q) => `  write_y(plain(s, t, h), ${q}u, sum_${q} / mass);`).join('\n')}`,
      }),
    ],
  };
}

/**
 * dq, and the sum of dy · out, which the keys' pass reads. A thread has a query. If there is a bias table, the workgroup also sums its gradient over
 * its pairs of tokens: for one j, all queries add to different rows of the table.
 */
function queryGradient(call: DeviceCall, groups: Groups): Dispatch {
  const all = quads(groups);
  const { heads, tableRows } = groups;
  const eachRow = (body: string) => `for (var e = lane; e < ${tableRows}u; e += ${THREADS}u) { ${body} }`;
  const partial = `data_partial[((in_order * ${blocksOf(groups)}u + group.x / ${heads}u) * ${tableRows}u + e) * ${heads}u + h] = d_table[e];`;
  return pass(call, groups, {
    label: `${call.kernel} (queries)`,
    operands: {
      qkv: 'in.qkv',
      result: 'in.out',
      lse: 'in.lse',
      dy: 'in.dy',
      deltas: 'scratch.deltas',
      y: 'out.y',
      ...(tableRows !== undefined && { partial: 'scratch.partial' as const }),
    },
    declarations:
      ['qkv', 'result', 'dy'].map((name) => rowReader(name, groups)).join('') +
      rowWriter(groups) +
      (tableRows === undefined ? '' : `var<workgroup> d_table: array<f32, ${tableRows}>;`),
    before: `${tableRows === undefined ? '' : `  ${eachRow('d_table[e] = 0.0;')}\n`}  let query = row(s, 0u, t, h);
  let upstream = plain(s, t, h);
${all.map((q) => `  let own_${q} = read_qkv(query, ${q}u) * ${groups.scale};\n  let dy_${q} = read_dy(upstream, ${q}u);\n  var sum_${q} = vec4f(0.0);`).join('\n')}
  let delta = ${dot(
    groups,
    (q) => `dy_${q}`,
    (q) => `read_result(upstream, ${q}u)`,
  )};
  let lse = load_lse(statistics + i);
  var factors = vec4f(1.0);`,
    staged: [
      ['qkv', 'row(s, 1u, other, h)'],
      ['qkv', 'row(s, 2u, other, h)'],
    ],
    each: `      let score = ${dot(
      groups,
      (q) => `own_${q}`,
      (q) => `staged_0[at + ${q}u]`,
    )} + bias_of(g, h, i, j);
${CACHED_FACTOR.replace('TOKENS', String(groups.tokens))}
      let slope = ${dot(
        groups,
        (q) => `dy_${q}`,
        (q) => `staged_1[at + ${q}u]`,
      )};
      let d_biased = exp(score - lse) * (factor * slope - delta);
${tableRows === undefined ? '' : '      if (has_own) { d_table[table_row(i, j)] += d_biased; }\n      workgroupBarrier();'}
      let d_score = d_biased * ${groups.scale};
${all.map((q) => `      sum_${q} = fma(vec4f(d_score), staged_0[at + ${q}u], sum_${q});`).join('\n')}`,
    after: `${tableRows === undefined ? '' : `  ${eachRow(partial)}\n`}  if (!has_own) { return; }
  store_deltas(statistics + i, delta);
${all.map((q) => `  write_y(query, ${q}u, sum_${q});`).join('\n')}`,
  });
}

/** dk and dv; a thread has a key and its value, and goes over queries with their dy. */
function keyGradient(call: DeviceCall, groups: Groups): Dispatch {
  const all = quads(groups);
  return pass(call, groups, {
    label: `${call.kernel} (keys and values)`,
    operands: { qkv: 'in.qkv', lse: 'in.lse', dy: 'in.dy', deltas: 'scratch.deltas', y: 'out.y' },
    declarations: ['qkv', 'dy'].map((name) => rowReader(name, groups)).join('') + rowWriter(groups),
    before: `  let key = row(s, 1u, t, h);
  let value = row(s, 2u, t, h);
${all
  .map(
    (q) => `  let key_${q} = read_qkv(key, ${q}u) * ${groups.scale};\n  let value_${q} = read_qkv(value, ${q}u);
  var d_key_${q} = vec4f(0.0);\n  var d_value_${q} = vec4f(0.0);`,
  )
  .join('\n')}`,
    staged: [
      ['qkv', 'row(s, 0u, other, h)'],
      ['dy', 'plain(s, other, h)'],
    ],
    each: `      let score = ${dot(
      groups,
      (q) => `key_${q}`,
      (q) => `staged_0[at + ${q}u]`,
    )} + bias_of(g, h, j, i);
      let factor = drop_factor(s, (pairs + j) * ${groups.tokens}u + i);
      let probability = exp(score - load_lse(statistics + j));
      let slope = ${dot(
        groups,
        (q) => `value_${q}`,
        (q) => `staged_1[at + ${q}u]`,
      )};
      let d_score = probability * (factor * slope - load_deltas(statistics + j)) * ${groups.scale};
      let kept = probability * factor;
${all.map((q) => `      d_key_${q} = fma(vec4f(d_score), staged_0[at + ${q}u], d_key_${q});\n      d_value_${q} = fma(vec4f(kept), staged_1[at + ${q}u], d_value_${q});`).join('\n')}`,
    after: `  if (!has_own) { return; }
${all.map((q) => `  write_y(key, ${q}u, d_key_${q});\n  write_y(value, ${q}u, d_value_${q});`).join('\n')}`,
  });
}

function backward(call: DeviceCall, groups: Groups): DeviceKernel {
  const { count, tokens, heads, tableRows } = groups;
  const deltas = call.chunkSamples * count * heads * tokens;
  const gradients: DeviceKernel = { dispatches: [queryGradient(call, groups), keyGradient(call, groups)], scratch: { deltas } };
  if (tableRows === undefined) return gradients;
  const [rows, columns] = [count * blocksOf(groups), tableRows * heads];
  const table = columnSums(call, {
    label: `${call.kernel} (table)`,
    operands: { partial: 'scratch.partial' },
    rows,
    columns,
    sums: { table: `load_partial(r * ${columns}u + c)` },
  });
  return together(gradients, table, { dispatches: [], scratch: { partial: call.chunkSamples * rows * columns } });
}

/** Rows of one head, `parts` of them a token. */
const rowsOf =
  (parts: number) =>
  ({ tokens, height = 1, width = 1, heads = 1, head_dim: columns = 1 }: DeviceCall['attributes']) => ({
    columns,
    perSample: (tokens ?? height * width) * parts * heads * columns,
  });

export const attention = inWholeWords(rowsOf(1), (call) => forward(call, allTokens(call)));
export const attentionGrad = inWholeWords(rowsOf(3), (call) => backward(call, allTokens(call)));
export const windowAttention = inWholeWords(rowsOf(1), (call) => forward(call, windows(call)));
export const windowAttentionGrad = inWholeWords(rowsOf(3), (call) => backward(call, windows(call)));
