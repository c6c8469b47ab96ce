/**
 * Depthwise convolution over maps [n, H·W, C] with zero padding of k ÷ 2, and its gradients. Channels lie side by side, so neighbouring threads read
 * neighbouring elements.
 */
import { columnSums, together } from './column-sums.js';
import { flatKernel } from './flat.js';
import { type DeviceCall, type DeviceKernel, FLAT, flatGroups, type KernelGenerator, shader } from './kernel.js';

/** Rows of a map that one thread sums for the gradient of a weight. Constant, because the order of the sums depends on it. */
const ROWS_PER_SUM = 8;

/** y(row, column) = Σ x(row + ky − k ÷ 2, column + kx − k ÷ 2) · weight(ky, kx), or with `flipped` weights, which is the gradient of x. */
function convolution(call: DeviceCall, input: 'x' | 'dy', flipped: boolean): DeviceKernel {
  const { height = 1, width = 1, channels = 1, kernel = 1 } = call.attributes;
  const [taps, pad] = [kernel * kernel, (kernel - 1) / 2];
  const tap = flipped ? `${taps - 1}u - (ky * ${kernel}u + kx)` : `ky * ${kernel}u + kx`;
  const weights = (count: number) => Array.from({ length: count }, (_, e) => `load_weight((c + ${e}u) * ${taps}u + tap)`).join(', ');
  return flatKernel(call, {
    label: call.kernel,
    operands: { x: `in.${input}`, weight: 'in.weight', ...(!flipped && { bias: 'in.bias' }), y: 'out.y' },
    perSample: height * width * channels,
    run: channels,
    // Rows and columns beyond an edge are above the last ones, since u32 wraps around.
    body: ({ load, type, count }) => `  let c = i % ${channels}u;
  let cell = i / ${channels}u;
  let column = cell % ${width}u;
  let row = cell / ${width}u % ${height}u;
  let map = cell / ${height * width}u * ${height}u;
  var sum = ${flipped ? `${type}(0.0)` : load('bias', 'c')};
  for (var ky = 0u; ky < ${kernel}u; ky++) {
    let y = row + ky - ${pad}u;
    if (y >= ${height}u) { continue; }
    for (var kx = 0u; kx < ${kernel}u; kx++) {
      let x = column + kx - ${pad}u;
      if (x >= ${width}u) { continue; }
      let tap = ${tap};
      sum += ${load('x', `((map + y) * ${width}u + x) * ${channels}u + c`)} * ${type}(${weights(count)});
    }
  }
  return sum;`,
  });
}

export const depthwiseConv: KernelGenerator = (call) => convolution(call, 'x', false);
export const depthwiseConvInputGrad: KernelGenerator = (call) => convolution(call, 'dy', true);

/** weight[c, ky, kx] += Σ dy · x at the tap's place, bias[c] += Σ dy. A thread sums all kx of one ky over some rows of one map. */
export const depthwiseConvWeightGrad: KernelGenerator = (call) => {
  const { height = 1, width = 1, channels = 1, kernel = 1 } = call.attributes;
  const [taps, pad, parts] = [kernel * kernel, (kernel - 1) / 2, Math.ceil(height / ROWS_PER_SUM)];
  const columns = channels * taps;
  const each = channels * kernel; // threads of a part
  const across = Array.from({ length: kernel }, (_, kx) => kx);
  const sums = shader(call, {
    label: call.kernel,
    operands: { x: 'in.x', dy: 'in.dy', partial: 'scratch.partial' },
    workgroupSize: 64,
    workgroups: (n) => flatGroups(n * parts * each),
    declarations: FLAT,
    body: `
  let i = flat_index(id, groups);
  if (i >= call.n * ${parts * each}u) { return; }
  let c = i % ${channels}u;
  let ky = i / ${channels}u % ${kernel}u;
  let part = i / ${each}u;
  let map = part / ${parts}u * ${height}u;
  let begin = part % ${parts}u * ${ROWS_PER_SUM}u;
${across.map((kx) => `  var sum_${kx} = 0.0;\n  var x_${kx} = 0.0;`).join('\n')}
  for (var row = begin; row < min(begin + ${ROWS_PER_SUM}u, ${height}u); row++) {
    let y = row + ky - ${pad}u;
    if (y >= ${height}u) { continue; }
    let x_row = (map + y) * ${width}u;
    let dy_row = (map + row) * ${width}u;
    // The row of x slides along: x_KX is what tap kx multiplies.
${across
  .slice(1)
  .map((kx) => {
    const column = kx - 1 - pad;
    return `    x_${kx} = ${column < 0 || column >= width ? '0.0' : `load_x((x_row + ${column}u) * ${channels}u + c)`};`;
  })
  .join('\n')}
    for (var column = 0u; column < ${width}u; column++) {
${across
  .slice(1)
  .map((kx) => `      x_${kx - 1} = x_${kx};`)
  .join('\n')}
      x_${kernel - 1} = 0.0;
      if (column + ${pad}u < ${width}u) { x_${kernel - 1} = load_x((x_row + column + ${pad}u) * ${channels}u + c); }
      let d = load_dy((dy_row + column) * ${channels}u + c);
${across.map((kx) => `      sum_${kx} = fma(d, x_${kx}, sum_${kx});`).join('\n')}
    }
  }
  let first = part * ${columns}u + c * ${taps}u + ky * ${kernel}u;
${across.map((kx) => `  store_partial(first + ${kx}u, sum_${kx});`).join('\n')}`,
  });
  const weight = columnSums(call, {
    label: `${call.kernel} (sum)`,
    operands: { partial: 'scratch.partial' },
    rows: parts,
    columns,
    sums: { weight: `load_partial(r * ${columns}u + c)` },
  });
  const bias = columnSums(call, {
    label: `${call.kernel} (bias)`,
    operands: { dy: 'in.dy' },
    rows: height * width,
    columns: channels,
    sums: { bias: `load_dy(r * ${channels}u + c)` },
  });
  return together({ dispatches: [sums], scratch: { partial: call.chunkSamples * parts * columns } }, weight, bias);
};
