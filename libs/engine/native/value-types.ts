/**
 * Decides which values are halves: bf16, or f16. A value is one if and only if every call that uses it allows that (libs/native/kernels.def) and it is not on the
 * residual stream. The stream and its gradient stay fp32, because a layer scale of 1e-6 vanishes in a bf16 sum.
 */

import { type KernelCall, type LoweredValue, type Passes, valueSlots } from '../passes/calls.js';
import type { HalfType, Operand } from './program-spec.js';

/** Kernels whose products are as fast as their operands' type allows, so that rounding an fp32 operand to a copy of half its size pays off. */
const products: ReadonlySet<string> = new Set(['linear', 'linear_input_grad', 'linear_weight_grad', 'attention', 'attention_grad']);

/** What a branch reads from the residual stream still belongs to the stream until it is scaled or rounded. */
const isStream = ({ kernel, attributes }: KernelCall) => kernel === 'gather_kept' && attributes.scaled === 0;

/**
 * Values that must be fp32, computed to a fixed point: where operands must have the same type, one fp32 operand makes all of them fp32. Inputs of
 * products are exempt.
 */
function fp32Values(calls: readonly KernelCall[]): Set<number> {
  const fp32 = new Set<number>();
  for (const call of calls) {
    for (const { slot, value, written } of valueSlots(call)) {
      if (slot.storage === 'fp32' || (written && isStream(call))) fp32.add(value);
    }
  }
  for (let before = -1; before !== fp32.size; ) {
    before = fp32.size;
    for (const call of calls) {
      const alike = valueSlots(call).filter(({ slot }) => slot.storage === 'alike');
      const decides = ({ value, written }: (typeof alike)[0]) => fp32.has(value) && (written || !products.has(call.kernel));
      if (alike.some(decides)) for (const { value } of alike) fp32.add(value);
    }
  }
  return fp32;
}

/**
 * Gives every value its type. Returns the passes with a cast before each product that reads an fp32 value. The rounded copies, one of each value,
 * are added to `values`.
 */
export function assignTypes({ forward, backward }: Passes, values: LoweredValue[], half: HalfType): Passes {
  const fp32 = fp32Values([...forward, ...backward]);
  const copies = new Map<number, number>();
  const withCasts = (call: KernelCall): KernelCall[] => {
    if (!products.has(call.kernel)) return [call];
    const alike = valueSlots(call).filter(({ slot }) => slot.storage === 'alike');
    if (alike.some(({ value, written }) => written && fp32.has(value))) return [call];
    const before: KernelCall[] = [];
    const inputs: Record<string, Operand> = { ...call.inputs };
    for (const { slot, value, written } of alike) {
      if (written || !fp32.has(value)) continue;
      let copy = copies.get(value);
      if (copy === undefined) {
        const original = values[value] as LoweredValue;
        copy = values.push({ ...original }) - 1;
        copies.set(value, copy);
        before.push(cast(value, copy, original));
      }
      inputs[slot.name] = { value: copy };
    }
    return [...before, { ...call, inputs }];
  };
  const passes = { forward: forward.flatMap(withCasts), backward: backward.flatMap(withCasts) };
  values.forEach((value, index) => {
    value.type = fp32.has(index) ? 'fp32' : half;
  });
  return passes;
}

/** Rounds all elements to the type of the copy. */
function cast(from: number, to: number, { elementsPerSample, domain }: LoweredValue): KernelCall {
  return {
    kernel: 'cast',
    domain,
    inputs: { x: { value: from } },
    outputs: { y: { value: to } },
    attributes: { width: elementsPerSample },
  };
}
