/**
 * Calls that one kernel does in one pass over its output: a linear layer with the GELU behind it, which then leaves the GELU's slope where
 * its argument would have been, and the gradient at a linear layer's input with the GELU's gradient behind it, now a product. The values
 * stay the same but for the order of two factors; only the calls become fewer.
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

/** Tells of a value whether GELUs and their gradients alone read it. */
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

/** Dropout between the two comes behind them: it multiplies every element by a factor of its own, as the GELU's slope does. */
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
