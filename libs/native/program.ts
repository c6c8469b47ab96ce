/**
 * The seam between the graph (TypeScript) and the native engine (C++): a program is a list of kernel calls over planned buffers.
 *
 * TypeScript decides what runs, in which order and where every value lives; C++ executes and decides nothing but tiles and threads.
 * A step runs forward and backward over the batch in chunks of `chunkSamples`, in order, adding every chunk's parameter
 * gradients into one fp32 gradient buffer; then norm, clip, optimizer and EMA. All of it is one asynchronous call.
 *
 * Values are [count(domain), ...perSample], fp32 or bf16. Domain 0 is all samples of the chunk; domain k ≥ 1 is the kept samples of drop path
 * k − 1 (a compact tensor in ascending sample order). Space is planned for all kept.
 *
 * The kernels, their operands and which of them may be bf16 stand in kernels.def; the addon refuses others.
 */

import type { KernelName } from './kernel-operands.js';

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
  /** Present where dropout is applied inside or by this kernel: index into StepRequest.dropoutSites' order (the graph's site order). */
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

/** One micro-batch. Images are finished fp32 NCHW. */
export interface MicroBatch {
  images: Float32Array;
  /** Soft targets [n, classes]. */
  targets: Float32Array;
  samples: number;
  /** Position of the micro-batch's first sample within the optimizer step: the `sample` counter word of dropout. */
  firstSample: number;
}

/**
 * Randomness of one step. A drop-path mask bit and a dropout element are kept where x < ⌈(1 − p)·2³²⌉ with x a word of Philox 4x32-10:
 * key = (seed low 32 bits, seed high 32 bits); counter = (element >> 2, sample, site, step), word = element & 3.
 * Dropout: site = its index; element in the site's row-major per-sample order. Drop path: site = 0x80000000 | path, element 0.
 */
export interface StepRandomness {
  seed: bigint;
  step: number;
  /** Drop rate per dropout site (0 = off), in site order. */
  siteRates: Float64Array;
  /** Drop rate per path, in path order. */
  pathRates: Float64Array;
  /**
   * Explicit masks for tests, 0 = dropped: per site one byte per element [samples, elementsPerSample]; per path one byte per sample; samples
   * counted over all micro-batches of the step. Kept values are scaled by the rates, as drawn ones are.
   */
  siteMasks?: (Uint8Array | undefined)[];
  pathMasks?: (Uint8Array | undefined)[];
}

export interface OptimizerScalars {
  kind: 'adamw' | 'sgd' | 'momentum';
  beta1: number;
  beta2: number;
  eps: number;
  momentum: number;
  /** 1-based count of optimizer steps, for bias correction. */
  step: number;
  /** Clip by global L2 norm where > 0: factor min(1, clip/(norm + 1e-6)). */
  clip: number;
  /** Per parameter: learning rate (schedule × layer scale) and decoupled weight decay. */
  learningRate: Float64Array;
  weightDecay: Float64Array;
  /** EMA decay, or −1 for none. */
  emaDecay: number;
}

export interface StepOutput {
  /** Loss of every sample, in batch order (over all micro-batches). */
  losses: Float32Array;
  /** Global L2 norm of the gradient before clipping. */
  gradNorm: number;
  /** Logits [samples, classes], for training accuracy. */
  logits: Float32Array;
  /** Seconds by phase: forward, backward, optimizer. */
  seconds: { forward: number; backward: number; optimizer: number };
}

export type StateName = 'weights' | 'gradients' | 'first_moment' | 'second_moment' | 'ema';

/** One kernel call of a recorded step or evaluation. */
export interface KernelCall {
  /** `pack`: a weight packed for products, inside the call that first needed it. */
  part: 'forward' | 'backward' | 'update' | 'pack';
  kernel: KernelName | 'pack_weight' | 'zero_gradients' | 'gradient_norm' | 'optimizer';
  /** Of the instruction; sizes per sample. */
  attributes: Readonly<Record<string, number>>;
  /** Of its domain in the chunk; 0 in `update` and `pack`. */
  samples: number;
  /** What its operands hold (gradients count twice: read and written); 0 for the optimizer. */
  bytes: number;
  /** Seconds of the monotonic clock, the one of process.hrtime. */
  begin: number;
  end: number;
}

/** A part of a call on one thread of the compute pool, where several shared it. */
export interface ThreadJob {
  thread: number;
  begin: number;
  end: number;
}

/** Records kernel calls into memory taken at start; costs nothing while stopped. Every method is refused while a call runs. */
export interface Profiler {
  /** Room for so many kernel calls, and as many jobs of every thread; later ones are lost. At most 2^24. */
  start(calls: number): void;
  stop(): void;
  /** What was recorded since the last take, calls in order of their ends, and how many calls found no room. */
  take(): { calls: KernelCall[]; jobs: ThreadJob[]; lost: number };
}

/**
 * A compiled program with its parameters, all states zero at first. Calls are queued (at most 64): one runs at a time. Their arrays are read
 * in place: do not change or transfer them before the promise settles. dispose() frees everything once the running call ended and rejects
 * those behind it; a program that is collected frees itself. Gradients stay readable until the next step: summed, before clipping.
 */
export interface NativeProgram {
  /** forward + backward over all micro-batches (gradient of Σ loss · lossScale), then the optimizer. Without `optimizer`: gradients only. */
  step(micro: MicroBatch[], random: StepRandomness, lossScale: number, optimizer?: OptimizerScalars): Promise<StepOutput>;
  /** Forward without dropout or drop path. `state`: which parameters. Returns logits and per-sample losses. */
  evaluate(batch: MicroBatch, state: 'weights' | 'ema'): Promise<{ logits: Float32Array; losses: Float32Array }>;
  /** Copies out / in all elements of one parameter. Refused while a call runs. */
  read(state: StateName, parameter: number): Float32Array;
  write(state: StateName, parameter: number, data: Float32Array): void;
  dispose(): void;
  readonly memoryBytes: number;
  /** Where the time of calls goes. Absent where an executor cannot tell. */
  readonly profiler?: Profiler;
}

export interface NativeEngineInfo {
  /** Instruction-set path in use: 'amx' (as avx512_bf16, products of bf16 in tiles) | 'avx512_bf16' | 'avx512' | 'avx2' | 'portable' (DROPSTREAM_ISA forces one). */
  isa: string;
  available: string[];
  /** Threads in use: DROPSTREAM_THREADS, else the cgroup's cores. */
  threads: number;
  /** Build identity that enters the numerics fingerprint. */
  build: string;
}
