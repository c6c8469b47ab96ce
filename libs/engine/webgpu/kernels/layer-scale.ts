/** Layer scale: a factor of every channel. */
import { columnSums, together } from './column-sums.js';
import { flat } from './flat.js';
import type { DeviceCall, Dispatch, KernelGenerator } from './kernel.js';

function scaledBy(call: DeviceCall, input: 'x' | 'dy'): Dispatch {
  const { rows = 1, width = 1 } = call.attributes;
  return flat(call, {
    label: call.kernel,
    operands: { x: `in.${input}`, gamma: 'in.gamma', y: 'out.y' },
    perSample: rows * width,
    run: width,
    body: ({ load }) => `  return ${load('x')} * ${load('gamma', `i % ${width}u`)};`,
  });
}

/** y = x · gamma over each row. */
export const layerScale: KernelGenerator = (call) => ({ dispatches: [scaledBy(call, 'x')] });

/** y = dy · gamma; gamma += Σ dy · x. */
export const layerScaleGrad: KernelGenerator = (call) => {
  const { rows = 1, width = 1 } = call.attributes;
  const at = `r * ${width}u + c`;
  const gamma = columnSums(call, {
    label: `${call.kernel} (gamma)`,
    operands: { x: 'in.x', dy: 'in.dy' },
    rows,
    columns: width,
    sums: { gamma: `load_dy(${at}) * load_x(${at})` },
  });
  return together(gamma, { dispatches: [scaledBy(call, 'dy')] });
};
