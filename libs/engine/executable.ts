/**
 * The interface of every executor: a program with its parameters. The rest of Dropstream uses Program (program.ts), which names parameters, checks
 * arguments and calls this interface.
 */
import type { Initializer } from '#nn/tensor.js';
import type { Subtree } from './gradient-tree.js';
import type { UnfinishedImages } from './images.js';

/** Images on an executor's device, which normalises, erases and mixes them in every call that uses them. */
export interface StagedImages {
  readonly samples: number;
  /** Frees their memory on the device; call it once, when no running or waiting call uses them. */
  release(): void;
}

/** One micro-batch. */
export interface MicroBatch<Images extends Float32Array | StagedImages = Float32Array | StagedImages> {
  /** fp32 NCHW, already normalised and mixed; or what stageImages of the same executable has returned. */
  images: Images;
  /** Soft targets [n, classes]. */
  targets: Float32Array;
  samples: number;
  /** Position of the micro-batch's first sample within the optimizer step: the `sample` counter word of dropout. */
  firstSample: number;
}

/**
 * Randomness of one step. A drop-path mask bit and a dropout element are kept where x < ⌈(1 − p)·2³²⌉; x is a word of Philox 4x32-10 with key = (seed
 * low 32 bits, seed high 32 bits), counter = (element >> 2, sample, site, step), word = element & 3. Dropout: site = its index; element = the index
 * in the site's row-major per-sample order. Drop path: site = 0x80000000 | path, element = 0.
 */
export interface StepRandomness {
  seed: bigint;
  step: number;
  /** Drop rate per dropout site (0 = off), in site order. */
  siteRates: Float64Array;
  /** Drop rate per path, in path order. */
  pathRates: Float64Array;
  /**
   * Explicit masks for tests; 0 means dropped. For each site one byte per element [samples, elementsPerSample]; for each path one byte per sample.
   * Samples are counted over the micro-batches of the leaf. Kept values are scaled by the rates, as with drawn masks.
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
  /** Clips by the global L2 norm if above 0: factor min(1, clip/(norm + 1e-6)). */
  clip: number;
  /** Per parameter: learning rate (schedule × layer scale) and decoupled weight decay. */
  learningRate: Float64Array;
  weightDecay: Float64Array;
  /** EMA decay, or −1 for none. */
  emaDecay: number;
  /**
   * The power of two that is part of the leaves' lossScale for precision f16: the gradient is divided by it. If the gradient is not finite, the step is
   * skipped: only the EMA takes the weights in once more. Default: 1, and no step is skipped.
   */
  gradientScale?: number;
}

/** One leaf of a step (gradient-tree.ts). */
export interface Leaf {
  /** In order; at least one micro-batch. */
  microBatches: MicroBatch[];
  random: StepRandomness;
  /** Factor of every loss. The gradient is that of Σ loss · lossScale: 1 / samples of the whole step gives the gradient of the mean loss. */
  lossScale: number;
  /** Index of the leaf, and the number of leaves of the step: 0 ≤ index < leaves ≤ MOST_LEAVES. */
  index: number;
  leaves: number;
}

export interface LeafOutput {
  /** Loss of every sample of the leaf, in batch order. */
  losses: Float32Array;
  /** Logits [samples, classes], for training accuracy. */
  logits: Float32Array;
  seconds: { forward: number; backward: number };
}

export interface UpdateOutput {
  /** Global L2 norm of the step's gradient before clipping. Not finite if the step was skipped. */
  gradNorm: number;
  /** The gradient is not finite, so the optimizer changed nothing (OptimizerScalars.gradientScale). */
  skipped?: boolean;
  seconds: { optimizer: number };
}

export interface EvaluationOutput {
  /** [samples, classes] */
  logits: Float32Array;
  losses: Float32Array;
}

export type StateName = 'weights' | 'gradients' | 'first_moment' | 'second_moment' | 'ema';

/** All elements of one parameter: the source or the target of a copy. */
export interface ParameterValues {
  parameter: number;
  values: Float32Array;
}

/** One kernel call of a recorded step or evaluation. */
export interface KernelCall {
  /** `pack`: a weight is packed for matrix products, inside the call that first needs it. */
  part: 'forward' | 'backward' | 'update' | 'pack';
  kernel: string;
  /** Attributes of the instruction; sizes are per sample. */
  attributes: Readonly<Record<string, number>>;
  /** Samples of the call's domain in the chunk; 0 in `update` and `pack`. */
  samples: number;
  /** Bytes of its operands (gradients count twice, because they are read and written); 0 for the optimizer. */
  bytes: number;
  /** Seconds of the monotonic clock that process.hrtime reads. */
  begin: number;
  end: number;
}

/** The part of a call that one thread of the compute pool did, if several threads shared the call. */
export interface ThreadJob {
  thread: number;
  begin: number;
  end: number;
}

/** Records kernel calls into memory that `start` allocates; costs nothing while stopped. Every method throws while a call runs. */
export interface Profiler {
  /** Allocates room for `calls` kernel calls, and as many jobs of every thread; later ones are lost. At most 2^24. */
  start(calls: number): void;
  stop(): void;
  /** Everything recorded since the last take: calls in the order of their ends, jobs, and the number of calls for which there was no room. */
  take(): { calls: KernelCall[]; jobs: ThreadJob[]; lost: number };
}

/** The call was cancelled by cancel(). */
export class StepCancelled extends Error {
  override readonly name = 'StepCancelled';
  constructor(options?: ErrorOptions) {
    super('the step was cancelled', options);
  }
}

/**
 * A compiled program with its parameters; all states are zero at first. Calls other than cancel and dispose are queued (at most 64) and run in the
 * order in which they were made. An executor with threads of its own runs none of them on the event loop's thread. Arrays are used in place: do not
 * change or transfer them, and do not use arrays that are read into, before the promise settles. Failures reject the promise; a wrong argument is a
 * RangeError or a TypeError.
 *
 * A step consists of an accumulate for every leaf, in any order, and then an update. It begins with the first accumulate (or writeSubtree) after an
 * update or a cancel. A leaf whose accumulate was rejected may be accumulated again.
 */
export interface Executable {
  /** Forward and backward pass over the micro-batches of one leaf. A sum of the tree is formed as soon as both of its parts are there. */
  accumulate(leaf: Leaf): Promise<LeafOutput>;
  /**
   * Computes the norm of the sum of all leaves, and applies clipping, optimizer and EMA. Ends the step in any case: it rejects if a leaf is missing,
   * and then the step's leaves are discarded. Without `optimizer`, only computes the norm; an update with one may follow. Until the next step begins,
   * the gradients can be read: summed, but neither clipped nor divided by gradientScale.
   */
  update(optimizer?: OptimizerScalars): Promise<UpdateOutput>;
  /**
   * Copies the images of a micro-batch to the device as bytes, also while other calls run, so that those of the next step are there when it begins.
   * Resolves when `pixels` may be changed. Rejects with a TypeError if the plan does not fit the images. Absent if the executor only takes finished
   * images.
   */
  stageImages?(images: UnfinishedImages): Promise<StagedImages>;
  /** Forward pass without dropout and drop path. `state` chooses the parameters. */
  evaluate(batch: MicroBatch, state: 'weights' | 'ema'): Promise<EvaluationOutput>;
  /**
   * Rejects with StepCancelled every accumulate, writeSubtree, update and evaluate that runs or waits, and discards the step: the next one begins
   * from zero. Weights, moments and EMA stay as they were before the step. An update whose optimizer has begun to change them is completed and
   * resolves; then the step is done. Calls that move data (initialize, read, write) are not affected.
   */
  cancel(): void;

  /**
   * The sum of one node of the tree, all parameters end to end, to exchange it with other executables of the same step. Read: the node must be there
   * and not yet be part of a larger sum (see subtreesWithin for the leaves that were accumulated). Write: replaces accumulating the node's leaves.
   */
  readSubtree(subtree: Subtree, into: Float32Array): Promise<void>;
  writeSubtree(subtree: Subtree, leaves: number, from: Float32Array): Promise<void>;

  /** Draws weights and EMA as libs/nn/initialisation.ts defines, with one initializer for each parameter; sets moments to zero. */
  initialize(initializers: readonly Initializer[], seed: bigint): Promise<void>;
  /** Copies parameters out. `gradients` are those of the last update. */
  read(state: StateName, into: readonly ParameterValues[]): Promise<void>;
  /** Copies parameters in; rejects `gradients`. */
  write(state: StateName, from: readonly ParameterValues[]): Promise<void>;

  /** Frees everything when the running call has ended, and rejects the calls behind it. A program that is garbage-collected frees itself. */
  dispose(): void;
  /** Bytes held outside the JavaScript heap. Grows by the size of a gradient whenever a step first needs another buffer for its leaves. */
  readonly memoryBytes: number;
  /** Shows where calls spend their time. Absent if the executor cannot record it. */
  readonly profiler?: Profiler;
}
