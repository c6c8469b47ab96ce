/** The kernels of the WebGPU executor by the names of libs/native/kernels.def. */
import type { KernelName } from '#native/kernel-operands.js';
import { add } from './elementwise.js';
import type { KernelGenerator } from './kernel.js';

const kernels: Readonly<Partial<Record<KernelName, KernelGenerator>>> = { add };

/** Throws for an operation without a WebGPU kernel. */
export function kernelFor(operation: KernelName): KernelGenerator {
  const kernel = kernels[operation];
  if (kernel === undefined) throw new Error(`operation ${operation} has no WebGPU kernel: add it to libs/engine/webgpu/kernels/`);
  return kernel;
}
