/**
 * Fuses calls into one kernel with a single pass over its output. A linear layer is fused with the GELU after it, and then stores the GELU's slope in
 * place of the GELU's argument. The input gradient of a linear layer is fused with the GELU's gradient after it, which is now a product with that
 * slope. Values do not change except for the order of two factors.
 */
import { type KernelCall, type Passes, valueIn, valueSlots } from './calls.js';

export function fuse({ forward, backward }: Passes): Passes {
  const onlyGelu = readOnlyByGelu([...forward, ...backward]);
  const slopes = new Set<number>();
  const fusedForward: KernelCall[] = [];
  for (const call of forward) {
    if (call.kernel === 'gelu') fuseGelu(fusedForward, call, onlyGelu, slopes);
    else fusedForward.push(call);
  }
  const fusedBackward: KernelCall[] = [];
  for (const call of backward) {
    if (call.kernel === 'gelu_grad') fuseGeluGradient(fusedBackward, call, slopes);
    else fusedBackward.push(call);
  }
  return { forward: fusedForward, backward: fusedBackward };
}

/** Returns whether a value is read only by GELUs and their gradients. */
function readOnlyByGelu(calls: readonly KernelCall[]): (value: number) => boolean {
  const others = calls.filter(({ kernel }) => kernel !== 'gelu' && kernel !== 'gelu_grad');
  const read = new Set(others.flatMap((call) => valueSlots(call).flatMap(({ value, written }) => (written ? [] : [value]))));
  return (value) => !read.has(value);
}

/** Adds to `slopes` the value that now holds the GELU's slope. */
function fuseGelu(done: KernelCall[], gelu: KernelCall, onlyGelu: (value: number) => boolean, slopes: Set<number>): void {
  const linear = done.at(-1);
  const argument = valueIn(gelu.inputs.x);
  if (argument === undefined || linear?.kernel !== 'linear' || valueIn(linear.outputs.y) !== argument || !onlyGelu(argument)) {
    return void done.push(gelu);
  }
  slopes.add(argument);
  done[done.length - 1] = {
    ...linear,
    outputs: { ...(gelu.outputs.y && { y: gelu.outputs.y }), slope: { value: argument } },
    attributes: { ...linear.attributes, gelu: 1 },
  };
}

/** Dropout between the two moves behind them: like the GELU's slope, it multiplies every element by a factor. */
function fuseGeluGradient(done: KernelCall[], gelu: KernelCall, slopes: ReadonlySet<number>): void {
  const argument = valueIn(gelu.inputs.x);
  if (argument === undefined || !slopes.has(argument)) return void done.push(gelu);
  const slope = { value: argument };
  const dropout = done.at(-1)?.kernel === 'dropout' ? done.at(-1) : undefined;
  const linear = done.at(dropout ? -2 : -1);
  const between = dropout ? [valueIn(linear?.outputs.y), valueIn(dropout.inputs.x)] : [];
  const into = valueIn((dropout ?? linear)?.outputs.y);
  if (linear?.kernel !== 'linear_input_grad' || into !== valueIn(gelu.inputs.dy) || between[0] !== between[1]) {
    const { dy } = gelu.inputs;
    return void done.push({ ...gelu, kernel: 'multiply', inputs: { a: slope, ...(dy && { b: dy }) } });
  }
  const { y } = dropout ? linear.outputs : gelu.outputs;
  done.length -= dropout ? 2 : 1;
  done.push({
    ...linear,
    inputs: { ...linear.inputs, slope },
    outputs: { ...(y && { y }) },
    attributes: { ...linear.attributes, gelu: 1 },
  });
  if (dropout) done.push({ ...dropout, outputs: gelu.outputs });
}
