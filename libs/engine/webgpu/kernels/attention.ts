/** Attention of whole sequences, without a map of N × N in memory: a thread walks along one row or column of it. */
import { FLAT, flatGroups, type DeviceCall, type KernelGenerator, shader } from './kernel.js';

const sizesOf = ({ attributes }: DeviceCall) => {
  const { tokens = 1, heads = 1, head_dim: width = 1, scale = 1 } = attributes;
  return { tokens, heads, width, scale, threads: (n: number) => n * heads * tokens };
};

/** Thread i is token t of head h of sample s; `qkv_at(j)` is where q of token j begins, k and v follow HD elements apart. */
const place = ({ tokens, heads, width }: ReturnType<typeof sizesOf>) => `
  let i = flat_index(id, groups);
  if (i >= call.n * ${heads * tokens}u) { return; }
  let t = i % ${tokens}u;
  let h = (i / ${tokens}u) % ${heads}u;
  let s = i / ${heads * tokens}u;
  let base = (s * ${tokens}u * 3u * ${heads}u + h) * ${width}u;
  let row = ${3 * heads * width}u;`;
const HD = ({ heads, width }: ReturnType<typeof sizesOf>) => `${heads * width}u`;
const each = ({ width }: ReturnType<typeof sizesOf>, body: string) => `for (var c = 0u; c < ${width}u; c++) { ${body} }`;
const outAt = ({ tokens, heads, width }: ReturnType<typeof sizesOf>, token: string) => `((s * ${tokens}u + ${token}) * ${heads}u + h) * ${width}u`;

/** qkv[n, N, 3, heads, head_dim] → y[n, N, heads, head_dim], lse[n, heads, N]; dropout on the probabilities. */
export const attention: KernelGenerator = (call) => {
  const sizes = sizesOf(call);
  const { tokens, width, scale, threads } = sizes;
  return {
    dispatches: [
      shader(call, {
        label: 'attention',
        operands: { qkv: 'in.qkv', y: 'out.y', lse: 'out.lse' },
        workgroupSize: 64,
        workgroups: (n) => flatGroups(threads(n)),
        declarations: FLAT,
        dropout: true,
        body: `${place(sizes)}
  var q: array<f32, ${width}>;
  var o: array<f32, ${width}>;
  ${each(sizes, `q[c] = load_qkv(base + t * row + c) * ${scale};`)}
  var most = -3.4e38;
  var sum = 0.0;
  for (var j = 0u; j < ${tokens}u; j++) {
    let k = base + j * row + ${HD(sizes)};
    var z = 0.0;
    ${each(sizes, 'z += q[c] * load_qkv(k + c);')}
    let now = max(most, z);
    let shrink = exp(most - now);
    let p = exp(z - now);
    sum = sum * shrink + p;
    most = now;
    let kept = p * drop_factor(s, (h * ${tokens}u + t) * ${tokens}u + j);
    ${each(sizes, `o[c] = o[c] * shrink + kept * load_qkv(k + ${HD(sizes)} + c);`)}
  }
  let to = ${outAt(sizes, 't')};
  for (var c = 0u; c < ${width / 2}u; c++) { store2_y(to / 2u + c, vec2f(o[2u * c], o[2u * c + 1u]) / sum); }
  store_lse(i, most + log(sum));`,
      }),
    ],
  };
};

/** The gradient of qkv: one dispatch for q, one for k and v. */
export const attentionGrad: KernelGenerator = (call) => {
  const sizes = sizesOf(call);
  const { tokens, heads, width, scale, threads } = sizes;
  const operands = { qkv: 'in.qkv', out: 'in.out', lse: 'in.lse', dy: 'in.dy', y: 'out.y' } as const;
  const common = { operands, workgroupSize: 64, workgroups: (n: number) => flatGroups(threads(n)), declarations: FLAT, dropout: true };
  const map = (query: string, key: string) => `
    let p = exp(z * ${scale} - load_lse((s * ${heads}u + h) * ${tokens}u + ${query}));
    let factor = drop_factor(s, (h * ${tokens}u + ${query}) * ${tokens}u + ${key});
    let ds = p * (dp * factor - along) * ${scale};`;
  return {
    dispatches: [
      shader(call, {
        ...common,
        label: 'attention_grad (q)',
        body: `${place(sizes)}
  let q = base + t * row;
  let o = ${outAt(sizes, 't')};
  var along = 0.0;
  ${each(sizes, 'along += load_dy(o + c) * load_out(o + c);')}
  var dq: array<f32, ${width}>;
  for (var j = 0u; j < ${tokens}u; j++) {
    let k = base + j * row + ${HD(sizes)};
    var z = 0.0;
    var dp = 0.0;
    ${each(sizes, `z += load_qkv(q + c) * load_qkv(k + c); dp += load_dy(o + c) * load_qkv(k + ${HD(sizes)} + c);`)}
    ${map('t', 'j')}
    ${each(sizes, 'dq[c] += ds * load_qkv(k + c);')}
  }
  for (var c = 0u; c < ${width / 2}u; c++) { store2_y(q / 2u + c, vec2f(dq[2u * c], dq[2u * c + 1u])); }`,
      }),
      shader(call, {
        ...common,
        label: 'attention_grad (k, v)',
        body: `${place(sizes)}
  let k = base + t * row + ${HD(sizes)};
  let v = k + ${HD(sizes)};
  var dk: array<f32, ${width}>;
  var dv: array<f32, ${width}>;
  for (var j = 0u; j < ${tokens}u; j++) {
    let q = base + j * row;
    let o = ${outAt(sizes, 'j')};
    var z = 0.0;
    var dp = 0.0;
    var along = 0.0;
    ${each(sizes, 'let d = load_dy(o + c); z += load_qkv(q + c) * load_qkv(k + c); dp += d * load_qkv(v + c); along += d * load_out(o + c);')}
    ${map('j', 't')}
    ${each(sizes, 'dk[c] += ds * load_qkv(q + c); dv[c] += p * factor * load_dy(o + c);')}
  }
  for (var c = 0u; c < ${width / 2}u; c++) {
    store2_y(k / 2u + c, vec2f(dk[2u * c], dk[2u * c + 1u]));
    store2_y(v / 2u + c, vec2f(dv[2u * c], dv[2u * c + 1u]));
  }`,
      }),
    ],
  };
};
