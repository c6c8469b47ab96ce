/** The samples that a drop path keeps: they are gathered before a branch and added to the residual stream behind it. */
import { flatKernel } from './flat.js';
import type { KernelGenerator } from './kernel.js';

/** y[i] = x[position(i)], times 1 / (1 − p) if scaled. */
export const gatherKept: KernelGenerator = (call) => {
  const { width = 1, scaled = 0 } = call.attributes;
  return flatKernel(call, {
    label: call.kernel,
    operands: { x: 'in.x', y: 'out.y' },
    perSample: width,
    positions: true,
    body: ({ load }) =>
      `  return ${load('x', `position(i / ${width}u) * ${width}u + i % ${width}u`)}${scaled === 1 ? ' * call.path_scale' : ''};`,
  });
};

/** Copies x of all samples, and adds the branch's y to those that are kept, times 1 / (1 − p) if scaled. */
export const scatterAddKept: KernelGenerator = (call) => {
  const { width = 1, scaled = 0 } = call.attributes;
  return flatKernel(call, {
    label: call.kernel,
    operands: { x: 'in.x', branch: 'in.y', y: 'out.y' },
    perSample: width,
    positions: true,
    body: ({ load }) => `  let kept = slot(i / ${width}u);
  let x = ${load('x')};
  if (kept == NO_SLOT) { return x; }
  return x + ${load('branch', `kept * ${width}u + i % ${width}u`)}${scaled === 1 ? ' * call.path_scale' : ''};`,
  });
};
