/**
 * The seam between the graph (TypeScript) and the native engine (C++): a program is a list of kernel calls over planned buffers.
 *
 * TypeScript decides what runs, in which order and where every value lives; C++ executes and decides nothing but tiles and threads.
 * A leaf of a step runs forward and backward over its micro-batches in chunks of `chunkSamples`, in order, adding every chunk's parameter
 * gradients into one fp32 gradient buffer; leaves are added in a fixed tree (../gradient-tree.ts); then norm, clip, optimizer and EMA.
 *
 * Values are [count(domain), ...perSample], fp32 or bf16. Domain 0 is all samples of the chunk; domain k ≥ 1 is the kept samples of drop path
 * k − 1 (a compact tensor in ascending sample order). Space is planned for all kept.
 *
 * The kernels, their operands and which of them may be bf16 stand in libs/native/kernels.def; the addon refuses others.
 */

import type { KernelName } from '#native/kernel-operands.js';

/** Where an operand lives. `value`: index into ProgramSpec.values; `param` / `grad`: index into ProgramSpec.parameters; `input`: batch data. */
export type Operand = { value: number } | { param: number } | { grad: number } | { input: 'images' | 'targets' };

/** How a value is stored. bf16: the upper half of an fp32, rounded to nearest even. */
export type ElementType = 'fp32' | 'bf16';

/** One kernel call. `rows`: rows per sample of the kernel's main operand (so R = count(domain) · rows). Unused attributes are absent. */
export interface Instruction {
  kernel: KernelName;
  domain: number;
  inputs: Operand[];
  outputs: Operand[];
  attributes: Record<string, number>;
  /** Present where dropout is applied inside or by this kernel: index into the graph's sites. */
  site?: number;
}

export interface ProgramSpec {
  /** Samples per chunk; a trailing chunk may be smaller. */
  chunkSamples: number;
  /** Floats of the arena; values are placed inside it for a full chunk. */
  arenaFloats: number;
  /** Offset in floats (multiple of 16), elements per sample and their type (default fp32; two bf16 take one float) of every value. */
  values: { offset: number; elementsPerSample: number; type?: ElementType }[];
  /** Elements of every parameter, in order. */
  parameters: { size: number }[];
  /** Number of drop-path paths (domains − 1). */
  paths: number;
  /** Elements per sample of every dropout site in logical row-major order (attention: heads·N·N). */
  sites: { elementsPerSample: number }[];
  /** Floats per sample of images (C·H·W) and classes. */
  imageFloats: number;
  classes: number;
  forward: Instruction[];
  backward: Instruction[];
  /** Value holding the logits [n, classes] and the loss [n] after `forward`. */
  logits: number;
  loss: number;
}
