/** Kernels that store rows, if the rows are halves and odd: two threads must not write halves of one word. */
import { flat } from './flat.js';
import type { Bound, DeviceCall, DeviceKernel, DeviceOperand, Dispatch, KernelGenerator } from './kernel.js';

/** What a kernel stores in every output that may be a half. */
interface Rows {
  /** Elements that one thread stores side by side, at most: a row begins at a multiple of this number. */
  columns: number;
  perSample: number;
}

/**
 * The kernel as it is, unless its rows are odd and halves. Then it stores fp32 in scratch memory, one element at a time, and a pass of its own rounds
 * that word by word: the same numbers, since a value is rounded once either way.
 */
export function inWholeWords(rowsOf: (attributes: DeviceCall['attributes']) => Rows, kernel: KernelGenerator): KernelGenerator {
  return (call) => {
    const { columns, perSample } = rowsOf(call.attributes);
    const halves = Object.keys(call.outputs).filter((name) => (call.outputs[name]?.type ?? 'fp32') !== 'fp32');
    if (columns % 2 === 0 || halves.length === 0) return kernel(call);
    const inScratch = (name: string): DeviceOperand => ({ type: 'fp32', memory: 'value', place: `scratch.${scratchOf(name)}` });
    const wide = { ...call, outputs: { ...call.outputs, ...Object.fromEntries(halves.map((name) => [name, inScratch(name)])) } };
    const { dispatches, scratch } = kernel(wide);
    return {
      dispatches: [...dispatches.map((one) => rebound(one, halves)), ...halves.map((name) => rounding(call, name, perSample))],
      scratch: { ...scratch, ...Object.fromEntries(halves.map((name) => [scratchOf(name), call.chunkSamples * perSample])) },
    };
  };
}

const scratchOf = (output: string) => `whole_${output}`;

/** The dispatch with the scratch memory of outputs bound in their place. */
function rebound(dispatch: Dispatch, outputs: readonly string[]): Dispatch {
  const places = new Map<Bound, Bound>(outputs.map((name) => [`out.${name}`, `scratch.${scratchOf(name)}`]));
  return { ...dispatch, bindings: dispatch.bindings.map((one) => ({ ...one, bound: places.get(one.bound) ?? one.bound })) };
}

function rounding(call: DeviceCall, output: string, perSample: number): DeviceKernel['dispatches'][0] {
  return flat(call, {
    label: `${call.kernel} (rounding ${output})`,
    operands: { x: `scratch.${scratchOf(output)}`, y: `out.${output}` },
    perSample,
    body: ({ load }) => `  return ${load('x')};`,
  });
}
