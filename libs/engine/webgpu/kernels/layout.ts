/** Kernels that move elements to other places. Copies are exact. */
import { type FlatSpec, flatKernel } from './flat.js';
import type { DeviceCall, DeviceKernel, KernelGenerator } from './kernel.js';

/** y[i] = x[source(i)]; `source` is a WGSL expression of i, which counts over all samples. */
function copied(
  call: DeviceCall,
  input: string,
  { perSample, run, steps = '', source }: { perSample: number; run: number; steps?: string; source: string },
): DeviceKernel {
  const spec: FlatSpec = {
    label: call.kernel,
    operands: { x: `in.${input}`, y: 'out.y' },
    perSample,
    run,
    body: ({ load }) => `${steps}\n  return ${load('x', source)};`,
  };
  return flatKernel(call, spec);
}

/** images[n, C, H, W] → y[n, N, C·p·p]. */
export const patches: KernelGenerator = (call) => {
  const { channels = 1, height = 1, width = 1, patch = 1 } = call.attributes;
  const [columns, across] = [channels * patch * patch, width / patch];
  const tokens = (height / patch) * across;
  const steps = `  let column = i % ${columns}u;
  let token = i / ${columns}u % ${tokens}u;
  let plane = i / ${columns * tokens}u * ${channels}u + column / ${patch * patch}u;
  let row = token / ${across}u * ${patch}u + column / ${patch}u % ${patch}u;`;
  const source = `(plane * ${height}u + row) * ${width}u + token % ${across}u * ${patch}u + column % ${patch}u`;
  return copied(call, 'images', { perSample: channels * height * width, run: patch, steps, source });
};

/** x[n, N, D] → y[n, D], the row of one token. */
export const takeToken: KernelGenerator = (call) => {
  const { tokens = 1, width = 1, token = 0 } = call.attributes;
  const source = `i / ${width}u * ${tokens * width}u + ${token * width}u + i % ${width}u`;
  return copied(call, 'x', { perSample: width, run: width, source });
};

/** dy[n, D] → y[n, N, D], 0 but for the row of one token. */
export const takeTokenGrad: KernelGenerator = (call) => {
  const { tokens = 1, width = 1, token = 0 } = call.attributes;
  const spec: FlatSpec = {
    label: call.kernel,
    operands: { dy: 'in.dy', y: 'out.y' },
    perSample: tokens * width,
    run: width,
    body: ({ load, type }) => `  if (i / ${width}u % ${tokens}u != ${token}u) { return ${type}(0.0); }
  return ${load('dy', `i / ${tokens * width}u * ${width}u + i % ${width}u`)};`,
  };
  return flatKernel(call, spec);
};

/** x[n, N, D] → y[n, D], the mean over tokens, added in order. */
export const meanTokens: KernelGenerator = (call) => {
  const { tokens = 1, width = 1 } = call.attributes;
  const spec: FlatSpec = {
    label: call.kernel,
    operands: { x: 'in.x', y: 'out.y' },
    perSample: width,
    body: ({ load, type }) => `  var sum = ${type}(0.0);
  let first = i / ${width}u * ${tokens * width}u + i % ${width}u;
  for (var t = 0u; t < ${tokens}u; t++) { sum += ${load('x', `first + t * ${width}u`)}; }
  return sum * ${1 / tokens};`,
  };
  return flatKernel(call, spec);
};

/** dy[n, D] → y[n, N, D], a share of the mean for every token. */
export const meanTokensGrad: KernelGenerator = (call) => {
  const { tokens = 1, width = 1 } = call.attributes;
  const spec: FlatSpec = {
    label: call.kernel,
    operands: { dy: 'in.dy', y: 'out.y' },
    perSample: tokens * width,
    run: width,
    body: ({ load }) => `  return ${load('dy', `i / ${tokens * width}u * ${width}u + i % ${width}u`)} * ${1 / tokens};`,
  };
  return flatKernel(call, spec);
};

/** x[n, N, D] → y[n, D, N]. */
export const transposeTokens: KernelGenerator = (call) => {
  const { tokens = 1, width = 1 } = call.attributes;
  const [size, source] = [tokens * width, `i / SIZEu * SIZEu + i % ${tokens}u * ${width}u + i % SIZEu / ${tokens}u`];
  return copied(call, 'x', { perSample: size, run: 1, source: source.replaceAll('SIZE', String(size)) });
};

/** The column of a merged row where channel `c` of the map's element (dy, dx) in its 2 × 2 is. */
const mergedColumn = (order: number, channels: number) => (order === 0 ? '(c * 2u + dy) * 2u + dx' : `(dx * 2u + dy) * ${channels}u + c`);

/** x[n, H·W, C] → y[n, (H/2)(W/2), 4C]. */
export const mergePatches: KernelGenerator = (call) => {
  const { height = 2, width = 2, channels = 1, order = 0 } = call.attributes;
  const place = `i % ${4 * channels}u`;
  const [c, dy, dx] =
    order === 0
      ? ['column / 4u', 'column / 2u % 2u', 'column % 2u']
      : [`column % ${channels}u`, `column / ${channels}u % 2u`, `column / ${2 * channels}u`];
  // Samples need no index: the rows of merged maps are counted over all of them, as the rows of maps are.
  const steps = `  let column = ${place};
  let merged = i / ${4 * channels}u;
  let row = merged / ${width / 2}u * 2u + ${dy};
  let cell = row * ${width}u + merged % ${width / 2}u * 2u + ${dx};`;
  return copied(call, 'x', {
    perSample: height * width * channels,
    run: order === 0 ? 1 : channels,
    steps,
    source: `cell * ${channels}u + ${c}`,
  });
};

/** dy[n, (H/2)(W/2), 4C] → y[n, H·W, C]. */
export const mergePatchesGrad: KernelGenerator = (call) => {
  const { height = 2, width = 2, channels = 1, order = 0 } = call.attributes;
  const steps = `  let c = i % ${channels}u;
  let row = i / ${channels * width}u;
  let across = i / ${channels}u % ${width}u;
  let dy = row % 2u;
  let dx = across % 2u;
  let merged = row / 2u * ${width / 2}u + across / 2u;`;
  const source = `merged * ${4 * channels}u + ${mergedColumn(order, channels)}`;
  return copied(call, 'dy', { perSample: height * width * channels, run: order === 0 ? 1 : channels, steps, source });
};
