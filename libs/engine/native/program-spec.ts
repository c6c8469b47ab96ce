/**
 * The interface between the graph (TypeScript) and the native engine (C++): a program is a list of kernel calls on planned buffers.
 *
 * TypeScript decides what runs, in which order, and where every value is stored. C++ executes this and only chooses tiles and threads. A leaf of a
 * step runs forward and backward over its micro-batches, in order, in chunks of `chunkSamples`, and adds the parameter gradients of every chunk to
 * one fp32 gradient buffer. Leaves are added in a fixed tree (../gradient-tree.ts). Then follow norm, clip, optimizer and EMA.
 *
 * Values are [count(domain), ...perSample], fp32 or bf16. Domain 0 is all samples of the chunk. Domain k ≥ 1 is the samples that drop path k − 1
 * keeps, as a compact tensor in ascending sample order. Memory is planned for the case that all are kept.
 *
 * libs/native/kernels.def lists the kernels, their operands and which of them may be bf16; the addon rejects everything else.
 */

import type { KernelName } from '#native/kernel-operands.js';

/** Where an operand is stored. `value`: index into ProgramSpec.values; `param` / `grad`: index into ProgramSpec.parameters; `input`: batch data. */
export type Operand = { value: number } | { param: number } | { grad: number } | { input: 'images' | 'targets' };

/** How a value is stored. bf16: the upper half of an fp32, rounded to nearest even. f16: IEEE binary16, on the engine webgpu only. */
export type ElementType = 'fp32' | 'bf16' | 'f16';
/** The types of two bytes. */
export type HalfType = Exclude<ElementType, 'fp32'>;

/** One kernel call. `rows`: rows per sample of the kernel's main operand (so R = count(domain) · rows). Unused attributes are absent. */
export interface Instruction {
  kernel: KernelName;
  domain: number;
  inputs: Operand[];
  outputs: Operand[];
  attributes: Record<string, number>;
  /** Present if the kernel applies dropout: index into the graph's sites. */
  site?: number;
}

export interface ProgramSpec {
  /** Samples per chunk; the last chunk may be smaller. */
  chunkSamples: number;
  /** Size of the arena in floats; values are placed in it for a full chunk. */
  arenaFloats: number;
  /** Offset in floats (multiple of 16), elements per sample and their type (default fp32; two halves take one float) of every value. */
  values: { offset: number; elementsPerSample: number; type?: ElementType }[];
  /** Elements of every parameter, in order. */
  parameters: { size: number }[];
  /** Number of drop-path paths (domains − 1). */
  paths: number;
  /** Elements per sample of every dropout site in logical row-major order (attention: heads·N·N). */
  sites: { elementsPerSample: number }[];
  /** Floats per sample of images (C·H·W), and the number of classes. */
  imageFloats: number;
  classes: number;
  forward: Instruction[];
  backward: Instruction[];
  /** The values that hold the logits [n, classes] and the loss [n] after `forward`. */
  logits: number;
  loss: number;
}
