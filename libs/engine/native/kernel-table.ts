/** Maps operations to native kernels: the operands and results of a kernel in its own order, and how each may be stored. */
import { type KernelName, kernelOperands, type Slot } from '#native/kernel-operands.js';

export interface KernelEntry {
  kernel: KernelName;
  inputs: readonly Slot[];
  outputs: readonly Slot[];
}

const isKernel = (operation: string): operation is KernelName => Object.hasOwn(kernelOperands, operation);

/** Throws for an operation without a native kernel. */
export function kernelOf(operation: string): KernelEntry {
  if (!isKernel(operation)) throw new Error(`operation ${operation} has no native kernel: add it to libs/native/kernels.def`);
  return { kernel: operation, ...kernelOperands[operation] };
}
