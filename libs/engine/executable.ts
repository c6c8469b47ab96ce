/**
 * What every executor gives: a program with its parameters on some machine's arithmetic. Program (program.ts) is what the rest of Dropstream
 * uses; it names parameters and checks, and calls this.
 */
import type { Initializer } from '#nn/tensor.js';
import type { Subtree } from './gradient-tree.js';

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
   * counted over the micro-batches of the leaf. Kept values are scaled by the rates, as drawn ones are.
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

/** One leaf of a step (gradient-tree.ts). */
export interface Leaf {
  /** In order; at least one. */
  microBatches: MicroBatch[];
  random: StepRandomness;
  /** The gradient is that of Σ loss · lossScale: 1 / samples of the whole step gives the gradient of the mean. */
  lossScale: number;
  /** Which leaf, of how many: 0 ≤ index < leaves ≤ MOST_LEAVES. */
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
  /** Global L2 norm of the step's gradient before clipping. */
  gradNorm: number;
  seconds: { optimizer: number };
}

export interface EvaluationOutput {
  /** [samples, classes] */
  logits: Float32Array;
  losses: Float32Array;
}

export type StateName = 'weights' | 'gradients' | 'first_moment' | 'second_moment' | 'ema';

/** All elements of one parameter: where they are copied from, or to. */
export interface ParameterValues {
  parameter: number;
  values: Float32Array;
}

/** One kernel call of a recorded step or evaluation. */
export interface KernelCall {
  /** `pack`: a weight packed for products, inside the call that first needed it. */
  part: 'forward' | 'backward' | 'update' | 'pack';
  kernel: string;
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

/** The call was cancelled by cancel(). */
export class StepCancelled extends Error {
  override readonly name = 'StepCancelled';
  constructor(options?: ErrorOptions) {
    super('the step was cancelled', options);
  }
}

/**
 * A compiled program with its parameters, all states zero at first. Every call but cancel and dispose is queued (at most 64) and run in the order
 * of asking, none on the event loop's thread where the executor has threads of its own. Arrays are used in place: do not change or transfer
 * them, and do not use what is read, before the promise settles. What is refused or fails rejects the promise: RangeError or TypeError for a wrong argument.
 *
 * A step is an accumulate for every leaf, in any order, then an update. It begins with the first accumulate (or writeSubtree) after an update or
 * a cancel; a leaf that is refused may be asked for again.
 */
export interface Executable {
  /** Forward and backward over the micro-batches of one leaf. Sums of leaves are formed as soon as both parts are there. */
  accumulate(leaf: Leaf): Promise<LeafOutput>;
  /**
   * Norm of the sum of all leaves, clip, optimizer and EMA. Ends the step in any case: rejected where a leaf is missing, and then its leaves are
   * given up. Without `optimizer`: the norm only; an update with one may follow. Gradients can be read, summed and not clipped, until the next step begins.
   */
  update(optimizer?: OptimizerScalars): Promise<UpdateOutput>;
  /** Forward without dropout or drop path. `state`: which parameters. */
  evaluate(batch: MicroBatch, state: 'weights' | 'ema'): Promise<EvaluationOutput>;
  /**
   * Rejects with StepCancelled every accumulate, writeSubtree, update and evaluate that runs or waits, and gives the step up: the next one begins
   * from zero. Weights, moments and EMA stay as they were before the step. An update whose optimizer has begun to change them goes on to its end
   * and resolves: the step is then done. Data that moves (initialize, read, write) is not affected.
   */
  cancel(): void;

  /**
   * The sum of a node of the tree, all parameters end to end: for its exchange with other executables of the same step. Read: a node that is there
   * and not yet part of a larger sum (subtreesWithin of what was accumulated). Write: in the place of accumulating its leaves.
   */
  readSubtree(subtree: Subtree, into: Float32Array): Promise<void>;
  writeSubtree(subtree: Subtree, leaves: number, from: Float32Array): Promise<void>;

  /** Weights and EMA drawn as libs/nn/initialisation.ts says, one initializer a parameter; moments zero. */
  initialize(initializers: readonly Initializer[], seed: bigint): Promise<void>;
  /** Copies parameters out. Gradients: those of the last update. */
  read(state: StateName, into: readonly ParameterValues[]): Promise<void>;
  /** Copies parameters in; `gradients` is refused. */
  write(state: StateName, from: readonly ParameterValues[]): Promise<void>;

  /** Frees everything once the running call ended, and rejects those behind it. A program that is collected frees itself. */
  dispose(): void;
  /** Held outside the JavaScript heap. Grows by a gradient with every buffer of a step's leaves that is first needed. */
  readonly memoryBytes: number;
  /** Where the time of calls goes. Absent where an executor cannot tell. */
  readonly profiler?: Profiler;
}
