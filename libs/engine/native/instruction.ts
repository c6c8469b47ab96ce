/** A kernel call in the form that the addon takes, with its operands in the kernel's own order. */
import type { Slot } from '#native/kernel-operands.js';
import type { KernelCall } from '../passes/calls.js';
import { type KernelEntry, kernelOf } from './kernel-table.js';
import type { Instruction, Operand } from './program-spec.js';

/** The operands in the kernel's order. Throws if one is missing. */
export function instructionOf(call: KernelCall): Instruction {
  const { kernel, domain, site } = call;
  const entry = kernelOf(kernel);
  const attributes = { ...call.attributes };
  if (kernel === 'linear' || kernel === 'linear_input_grad') attributes.gelu ??= 0;
  if (kernel === 'linear') attributes.bias = call.inputs.bias === undefined ? 0 : 1;
  return {
    kernel,
    domain,
    inputs: ordered(entry, entry.inputs, call.inputs),
    outputs: ordered(entry, entry.outputs, call.outputs),
    attributes,
    ...(site !== undefined && { site }),
  };
}

function ordered({ kernel }: KernelEntry, slots: readonly Slot[], operands: Readonly<Record<string, Operand>>): Operand[] {
  return slots.flatMap(({ name, optional }) => {
    const operand = operands[name];
    if (operand === undefined && !optional) throw new Error(`${kernel}: operand ${name} is missing`);
    return operand === undefined ? [] : [operand];
  });
}
