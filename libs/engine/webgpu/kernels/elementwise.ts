/** Kernels that work element by element. */
import { type FlatSpec, flatKernel, type Lanes } from './flat.js';
import { eachOf, GELU } from './gaussian.js';
import type { DeviceCall, DeviceKernel, KernelGenerator } from './kernel.js';

const elementsOf = ({ attributes: { rows = 1, width = 1 } }: DeviceCall) => rows * width;

function elementwise(call: DeviceCall, operands: FlatSpec['operands'], body: FlatSpec['body'], declarations = ''): DeviceKernel {
  return flatKernel(call, { label: call.kernel, operands, perSample: elementsOf(call), body, declarations });
}

/** y = a + b. */
export const add: KernelGenerator = (call) =>
  elementwise(call, { a: 'in.a', b: 'in.b', y: 'out.y' }, ({ load }) => `  return ${load('a')} + ${load('b')};`);

/** y = a · b. */
export const multiply: KernelGenerator = (call) =>
  elementwise(call, { a: 'in.a', b: 'in.b', y: 'out.y' }, ({ load }) => `  return ${load('a')} * ${load('b')};`);

/** y = x, rounded to nearest even if y is bf16. */
export const cast: KernelGenerator = (call) => elementwise(call, { x: 'in.x', y: 'out.y' }, ({ load }) => `  return ${load('x')};`);

/** y = x · Φ(x). */
export const gelu: KernelGenerator = (call) =>
  elementwise(
    call,
    { x: 'in.x', y: 'out.y' },
    ({ load, count }) => `  let x = ${load('x')};\n  return ${eachOf(count, 'gelu', 'x')};`,
    GELU,
  );

/** y = dy · (Φ(x) + x · φ(x)). */
export const geluGrad: KernelGenerator = (call) =>
  elementwise(
    call,
    { x: 'in.x', dy: 'in.dy', y: 'out.y' },
    ({ load, count }) => `  let x = ${load('x')};\n  return ${load('dy')} * ${eachOf(count, 'gelu_slope', 'x')};`,
    GELU,
  );

/** y = x · factor of dropout. It is its own gradient. */
export const dropout: KernelGenerator = (call) => {
  const perSample = elementsOf(call);
  const factors = ({ count }: Lanes) => {
    if (count === 4) return `drop_factors(s, e / 4u)`;
    return count === 2 ? `vec2f(drop_factor(s, e), drop_factor(s, e + 1u))` : `drop_factor(s, e)`;
  };
  const body = (lanes: Lanes) => `  let s = i / ${perSample}u;
  let e = i % ${perSample}u;
  let factors = ${factors(lanes)};
  return select(${lanes.type}(0.0), ${lanes.load('x')} * factors, factors != ${lanes.type}(0.0));`;
  return flatKernel(call, { label: 'dropout', operands: { x: 'in.x', y: 'out.y' }, perSample, body, dropout: true });
};
