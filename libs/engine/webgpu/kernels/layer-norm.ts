/**
 * Layer norm and its gradient. A workgroup normalises two rows, so that a word of two bf16 belongs to one workgroup for any width. The sums over
 * rows, which are gradients of parameters, are passes of their own.
 */
import { columnSums, together } from './column-sums.js';
import { type DeviceCall, type DeviceKernel, flatGroups, type KernelGenerator, type ShaderSpec, shader } from './kernel.js';
import { TEAM, TEAM_SUM } from './team-sums.js';

/**
 * A dispatch over pairs of rows. `body` may use `rows` (their number), `row` (the first of the pair), `base` (the index of its first pair of elements)
 * and, in `eachPair`, `p` and `first`: whether either of the two elements belongs to the first row.
 */
function rowPairs(call: DeviceCall, spec: Pick<ShaderSpec, 'label' | 'operands' | 'body' | 'declarations'>) {
  const { rows = 1, width = 1 } = call.attributes;
  return shader(call, {
    ...spec,
    workgroupSize: TEAM,
    workgroups: (n) => flatGroups(Math.ceil((n * rows) / 2), 1),
    declarations: `${TEAM_SUM}
fn of_rows(v: vec2f, first: vec2<bool>) -> vec2f {
  let a = select(vec2f(0.0), v, first);
  let b = select(v, vec2f(0.0), first);
  return vec2f(a.x + a.y, b.x + b.y);
}
${spec.declarations ?? ''}`,
    body: `
  let rows = call.n * ${rows}u;
  let row = 2u * (group.y * groups.x + group.x);
  if (row >= rows) { return; }
  let second = row + 1u < rows;
  let base = row / 2u * ${width}u;
${spec.body}`,
  });
}

const eachPair = (width: number, body: string) => `
  for (var p = lane; p < ${width}u; p += ${TEAM}u) {
    let first = vec2<bool>(2u * p < ${width}u, 2u * p + 1u < ${width}u);
    if (!first.x && !second) { break; }
${body}
  }`;

/** The columns of the pair's elements. */
const COLUMNS = (width: number) => `vec2u((2u * p) % ${width}u, (2u * p + 1u) % ${width}u)`;

/** y = (x − mean) · rstd · weight + bias over each row. */
export const layerNorm: KernelGenerator = (call) => {
  const { width = 1, eps = 0 } = call.attributes;
  return {
    dispatches: [
      rowPairs(call, {
        label: call.kernel,
        operands: { x: 'in.x', weight: 'in.weight', bias: 'in.bias', y: 'out.y', mean: 'out.mean', rstd: 'out.rstd' },
        body: `
  var sum = vec2f(0.0);${eachPair(width, `    sum += of_rows(load2_x(base + p), first);`)}
  let mean = team_sum(lane, sum) / ${width}.0;
  sum = vec2f(0.0);${eachPair(
    width,
    `    let d = load2_x(base + p) - select(mean.yy, mean.xx, first);
    sum += of_rows(d * d, first);`,
  )}
  let rstd = inverseSqrt(team_sum(lane, sum) / ${width}.0 + ${eps});
  if (lane == 0u) {
    store_mean(row, mean.x);
    store_rstd(row, rstd.x);
    if (second) {
      store_mean(row + 1u, mean.y);
      store_rstd(row + 1u, rstd.y);
    }
  }${eachPair(
    width,
    `    let c = ${COLUMNS(width)};
    let normalized = (load2_x(base + p) - select(mean.yy, mean.xx, first)) * select(rstd.yy, rstd.xx, first);
    store2_y(base + p, normalized * vec2f(load_weight(c.x), load_weight(c.y)) + vec2f(load_bias(c.x), load_bias(c.y)));`,
  )}`,
      }),
    ],
  };
};

/** dx = rstd · (g − mean g − x̂ · mean (g · x̂)) with g = dy · weight and x̂ = (x − mean) · rstd; weight += Σ dy · x̂; bias += Σ dy. */
export const layerNormGrad: KernelGenerator = (call) => {
  const { rows = 1, width = 1 } = call.attributes;
  const at = 'r * COLUMNS + c';
  // Before dx, which may be stored where x or dy is.
  const parameters = columnSums(call, {
    label: `${call.kernel} (parameters)`,
    operands: { x: 'in.x', mean: 'in.mean', rstd: 'in.rstd', dy: 'in.dy' },
    rows,
    columns: width,
    sums: { weight: `load_dy(${at}) * ((load_x(${at}) - load_mean(r)) * load_rstd(r))`, bias: `load_dy(${at})` },
  });
  return together(parameters, { dispatches: [inputGradient(call, width)] });
};

function inputGradient(call: DeviceCall, width: number): DeviceKernel['dispatches'][0] {
  const terms = `    let c = ${COLUMNS(width)};
    let normalized = (load2_x(base + p) - select(mean.yy, mean.xx, first)) * select(rstd.yy, rstd.xx, first);
    let g = load2_dy(base + p) * vec2f(load_weight(c.x), load_weight(c.y));`;
  return rowPairs(call, {
    label: call.kernel,
    operands: { x: 'in.x', weight: 'in.weight', mean: 'in.mean', rstd: 'in.rstd', dy: 'in.dy', y: 'out.y' },
    body: `
  let mean = vec2f(load_mean(row), select(0.0, load_mean(row + 1u), second));
  let rstd = vec2f(load_rstd(row), select(0.0, load_rstd(row + 1u), second));
  var sum = vec2f(0.0);
  var products = vec2f(0.0);${eachPair(
    width,
    `${terms}
    sum += of_rows(g, first);
    products += of_rows(g * normalized, first);`,
  )}
  let mean_g = team_sum(lane, sum) / ${width}.0;
  let mean_products = team_sum(lane, products) / ${width}.0;${eachPair(
    width,
    `${terms}
    let centered = g - select(mean_g.yy, mean_g.xx, first) - normalized * select(mean_products.yy, mean_products.xx, first);
    store2_y(base + p, select(rstd.yy, rstd.xx, first) * centered);`,
  )}`,
  });
}
