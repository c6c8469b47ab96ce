/** The class token and the position embedding. */
import { columnSums, together } from './column-sums.js';
import { flat, flatKernel } from './flat.js';
import type { KernelGenerator } from './kernel.js';

/** x[n, N, D], token[D] → y[n, N + 1, D]. */
export const prependToken: KernelGenerator = (call) => {
  const { tokens = 1, width = 1 } = call.attributes;
  const long = (tokens + 1) * width;
  return flatKernel(call, {
    label: call.kernel,
    operands: { x: 'in.x', token: 'in.token', y: 'out.y' },
    perSample: long,
    run: width,
    body: ({ load }) => `  let e = i % ${long}u;
  if (e < ${width}u) { return ${load('token', 'e')}; }
  return ${load('x', `i / ${long}u * ${tokens * width}u + e - ${width}u`)};`,
  });
};

/** y[n, N, D] = dy without its first tokens, whose sum over samples is added to the token's gradient. */
export const prependTokenGrad: KernelGenerator = (call) => {
  const { tokens = 1, width = 1 } = call.attributes;
  const [long, short] = [(tokens + 1) * width, tokens * width];
  const token = columnSums(call, {
    label: `${call.kernel} (token)`,
    operands: { dy: 'in.dy' },
    rows: 1,
    columns: width,
    sums: { token: `load_dy(r * ${long}u + c)` },
  });
  const rest = flat(call, {
    label: call.kernel,
    operands: { dy: 'in.dy', y: 'out.y' },
    perSample: short,
    run: width,
    body: ({ load }) => `  return ${load('dy', `i / ${short}u * ${long}u + ${width}u + i % ${short}u`)};`,
  });
  return together(token, { dispatches: [rest] });
};

/** y[n, N, D] = x + positions[N, D]. */
export const addPositions: KernelGenerator = (call) => {
  const { tokens = 1, width = 1 } = call.attributes;
  return flatKernel(call, {
    label: call.kernel,
    operands: { x: 'in.x', positions: 'in.positions', y: 'out.y' },
    perSample: tokens * width,
    body: ({ load }) => `  return ${load('x')} + ${load('positions', `i % ${tokens * width}u`)};`,
  });
};

/** positions += Σ over samples of dy. */
export const addPositionsGrad: KernelGenerator = (call) => {
  const { tokens = 1, width = 1 } = call.attributes;
  return columnSums(call, {
    label: call.kernel,
    operands: { dy: 'in.dy' },
    rows: 1,
    columns: tokens * width,
    sums: { positions: `load_dy(r * ${tokens * width}u + c)` },
  });
};
