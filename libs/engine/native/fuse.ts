/**
 * Calls that one kernel does in one pass over its output: a linear layer with the GELU behind it, and the gradient at a linear layer's
 * input with the GELU's gradient behind it. The values stay the same but for the order of two factors; only the calls become fewer.
 */
import { type KernelCall, valueIn } from './calls.js';

export function fuse(calls: readonly KernelCall[]): KernelCall[] {
  const fused: KernelCall[] = [];
  for (const call of calls) {
    if (call.kernel === 'gelu') fuseGelu(fused, call);
    else if (call.kernel === 'gelu_grad') fuseGeluGradient(fused, call);
    else fused.push(call);
  }
  return fused;
}

function fuseGelu(done: KernelCall[], gelu: KernelCall): void {
  const linear = done.at(-1);
  if (linear?.kernel !== 'linear' || valueIn(linear.outputs.y) !== valueIn(gelu.inputs.x)) return void done.push(gelu);
  const { y, ...others } = linear.outputs;
  done[done.length - 1] = {
    ...linear,
    outputs: { ...others, ...(gelu.outputs.y && { y: gelu.outputs.y }), ...(y && { pre: y }) },
    attributes: { ...linear.attributes, gelu: 1 },
  };
}

/** Dropout between the two comes behind them: it multiplies every element by a factor of its own, as the GELU's slope does. */
function fuseGeluGradient(done: KernelCall[], gelu: KernelCall): void {
  const dropout = done.at(-1)?.kernel === 'dropout' ? done.at(-1) : undefined;
  const linear = done.at(dropout ? -2 : -1);
  const between = dropout ? [valueIn(linear?.outputs.y), valueIn(dropout.inputs.x)] : [];
  const into = valueIn((dropout ?? linear)?.outputs.y);
  if (linear?.kernel !== 'linear_input_grad' || into !== valueIn(gelu.inputs.dy) || between[0] !== between[1]) return void done.push(gelu);
  const { y } = dropout ? linear.outputs : gelu.outputs;
  const { x: pre } = gelu.inputs;
  done.length -= dropout ? 2 : 1;
  done.push({
    ...linear,
    inputs: { ...linear.inputs, ...(pre && { pre }) },
    outputs: { ...(y && { y }) },
    attributes: { ...linear.attributes, gelu: 1 },
  });
  if (dropout) done.push({ ...dropout, outputs: gelu.outputs });
}
