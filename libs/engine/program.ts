/** A compiled model: its parameters and the operations on it. It works the same on every executor. */
import type { Graph } from '#graph/graph.js';
import { elements, type Shape } from '#nn/tensor.js';
import { decays } from '#nn/weight-decay-groups.js';
import type {
  EvaluationOutput,
  Executable,
  LeafOutput,
  MicroBatch,
  OptimizerScalars,
  ParameterValues,
  Profiler,
  StateName,
  StepRandomness,
  UpdateOutput,
} from './executable.js';
import type { Gpu } from './executor.js';
import type { Fingerprint } from './fingerprint.js';
import { defaultLeaves, leafRanges, MOST_LEAVES, type Subtree } from './gradient-tree.js';
import { DeviceImages, HostImages, type ImagePreparation, type PreparedImages, type UnfinishedImages } from './images.js';

export interface ParameterInfo {
  name: string;
  shape: Shape;
  /** Whether weight decay applies to it. */
  decay: boolean;
}

export interface StepRandom {
  seed: bigint;
  /** Index of the optimizer step, from 0. The same step draws the same masks. */
  step: number;
  /** Drop rate of every dropout site, in [0, 1). Default 0. */
  dropout?: number;
  /** Stochastic-depth rate of every block, in [0, 1). Default: none. */
  blockRates?: readonly number[];
  /**
   * Explicit masks instead of drawn ones, for tests; 1 means kept. Keys: a site's name for [samples, ...site], and `block.branch` for [samples].
   * Scaled by the rates above.
   */
  siteMasks?: Readonly<Record<string, Uint8Array>>;
  pathMasks?: Readonly<Record<string, Uint8Array>>;
}

export interface OptimizerStep extends Omit<OptimizerScalars, 'learningRate' | 'weightDecay'> {
  learningRate: number;
  /** Applies to parameters with decay. */
  weightDecay: number;
  /** Per parameter, in order; default 1. */
  learningRateScale?: ArrayLike<number>;
}

export interface StepRequest<Batch extends MicroBatch = MicroBatch> {
  /** All micro-batches of the optimizer step, in order. */
  microBatches: Batch[];
  random: StepRandom;
  /** Factor of every sample's loss in the gradient: 1 / samples of the whole step gives the gradient of the mean. */
  lossScale: number;
  /**
   * A further factor of every loss, a power of two (loss-scaling.ts), by which the optimizer divides the gradient. Only for precision f16. `accumulate`
   * multiplies by it too; the `optimizer` of the step's update then names the same one.
   */
  gradientScale?: number;
  /** If absent, only gradients are computed. */
  optimizer?: OptimizerStep;
  /**
   * Number of leaves in which the gradient is summed (gradient-tree.ts); changes bits. Default: the smaller of 16 and the number of micro-batches.
   */
  leaves?: number;
}

/** One leaf of a step: the micro-batches that leafRanges assigns to it. Explicit masks contain only the leaf's samples. */
export interface LeafRequest extends Omit<StepRequest, 'optimizer' | 'leaves'> {
  /** Index of the leaf, from 0. */
  leaf: number;
  leaves: number;
}

export interface StepResult {
  /** Loss of every sample, in batch order (over all micro-batches). */
  losses: Float32Array;
  /** Mean loss over all samples, summed in batch order in float64. */
  loss: number;
  /** Logits [samples, classes], for training accuracy. */
  logits: Float32Array;
  /** Global L2 norm of the gradient before clipping. Not finite if the step was skipped. */
  gradNorm: number;
  /** The gradient overflowed in f16: the step changed neither weights nor moments. */
  skipped: boolean;
  seconds: { forward: number; backward: number; optimizer: number };
}

export interface NamedTensor {
  name: string;
  shape: Shape;
  data: Float32Array;
}

/** Everything that training changes. `ema` is present only if a moving average is kept. */
export interface ProgramState {
  weights: NamedTensor[];
  first_moment: NamedTensor[];
  second_moment: NamedTensor[];
  ema?: NamedTensor[];
}

/** The rates of one step by site, path and parameter. They are reused by later steps, so that a step only allocates its results. */
interface StepRates {
  siteRates: Float64Array;
  pathRates: Float64Array;
  learningRate: Float64Array;
  weightDecay: Float64Array;
}

export class Program implements ImagePreparation {
  readonly parameters: readonly ParameterInfo[];
  /** Names of the dropout sites, in counter order. */
  readonly sites: readonly string[];
  /** Number of blocks: the length of `blockRates`. */
  readonly blocks: number;
  readonly classes: number;
  /** Floats of one image, C·H·W. */
  readonly imageFloats: number;
  /** Number of floats of all parameters, which is also the size of a gradient. */
  readonly parameterFloats: number;
  readonly #sizes: readonly number[];
  readonly #indices: ReadonlyMap<string, number>;
  readonly #images: ImagePreparation;
  /** Rates that no running or waiting step uses. */
  #freeRates: StepRates | undefined;

  constructor(
    private readonly graph: Graph,
    private readonly executor: Executable,
    readonly fingerprint: Fingerprint,
    readonly chunkSamples: number,
    private readonly trains = true,
    /** The GPU that it runs on, if it does. */
    readonly gpu?: Gpu,
  ) {
    this.parameters = graph.parameters.map(({ name, shape }) => ({ name, shape, decay: decays(name, shape) }));
    this.sites = graph.sites.map(({ name }) => name);
    this.blocks = graph.paths.reduce((most, { block }) => Math.max(most, block + 1), 0);
    this.classes = graph.classes;
    this.imageFloats = elements(graph.images);
    this.#sizes = this.parameters.map(({ shape }) => elements(shape));
    this.parameterFloats = this.#sizes.reduce((sum, size) => sum + size, 0);
    this.#indices = new Map(this.parameters.map(({ name }, index) => [name, index]));
    const stage = executor.stageImages?.bind(executor);
    this.#images = stage === undefined ? new HostImages() : new DeviceImages(stage);
  }

  /** Bytes held outside the JavaScript heap: arena, parameters and optimizer state. */
  get peakBytes(): number {
    return this.executor.memoryBytes;
  }

  /** Shows where steps and evaluations spend their time, kernel by kernel; undefined if the executor cannot record it. */
  get profiler(): Profiler | undefined {
    return this.executor.profiler;
  }

  /**
   * Makes images from the data service ready for a step or an evaluation, also while another one runs: they are normalised, erased and mixed, here or
   * on the executor's device, to which they are sent now.
   */
  async prepareImages(images: UnfinishedImages): Promise<PreparedImages> {
    const { pixels, plan } = images;
    this.#checkImages(pixels.length, plan.samples.length);
    return this.#images.prepareImages(images);
  }

  /** Resets the model to its initialisation under a seed: draws weights and EMA, and sets moments to zero. */
  async initialize(seed: bigint): Promise<void> {
    return this.executor.initialize(
      this.graph.parameters.map(({ initializer }) => initializer),
      seed,
    );
  }

  /**
   * One optimizer step: forward and backward pass over every micro-batch, leaf by leaf, and then clip, optimizer and EMA. Steps run in the order of
   * their calls. @throws StepCancelled after cancel(); the program is then as before the step
   */
  async step({ microBatches, random, lossScale, gradientScale, optimizer, leaves }: StepRequest): Promise<StepResult> {
    const scale = this.#scaleOf(lossScale, gradientScale);
    this.#checkLeaf(microBatches, scale);
    const ranges = leafRanges(microBatches.length, leaves ?? defaultLeaves(microBatches.length));
    const rates = this.#takeRates();
    const randomness = this.#randomness(random, rates);
    // All calls are queued at once, so that no other call can run between them.
    let row = 0;
    const calls = ranges.map(({ begin, end }, index) => {
      const batches = microBatches.slice(begin, end);
      const samples = batches.reduce((sum, batch) => sum + batch.samples, 0);
      const masked = this.#masksOf(randomness, row, samples);
      row += samples;
      return this.executor.accumulate({ microBatches: batches, random: masked, lossScale: scale, index, leaves: ranges.length });
    });
    const update = this.executor.update(optimizer && { ...this.#scalars(optimizer, rates), ...(gradientScale && { gradientScale }) });
    const settled = await Promise.allSettled([...calls, update]);
    this.#freeRates = rates;
    for (const one of settled) if (one.status === 'rejected') throw one.reason;
    const parts = await Promise.all(calls);
    const { gradNorm, skipped = false, seconds } = await update;
    const losses = joined(parts.map((part) => part.losses));
    const total = (phase: keyof LeafOutput['seconds']) => parts.reduce((sum, part) => sum + part.seconds[phase], 0);
    return {
      losses,
      loss: mean(losses),
      logits: joined(parts.map(({ logits }) => logits)),
      gradNorm,
      skipped,
      seconds: { forward: total('forward'), backward: total('backward'), ...seconds },
    };
  }

  /**
   * Forward and backward pass over one leaf of a step, for a worker that computes some of the step's leaves, in any order. Call `update` when every
   * leaf was accumulated, here or by writeSubtree. @throws StepCancelled
   */
  async accumulate({ microBatches, random, lossScale, gradientScale, leaf, leaves }: LeafRequest): Promise<LeafOutput> {
    const scale = this.#scaleOf(lossScale, gradientScale);
    this.#checkLeaf(microBatches, scale);
    if (!Number.isInteger(leaves) || leaves < 1 || leaves > MOST_LEAVES) {
      throw new RangeError(`leaves: ${leaves} is not a whole number from 1 to ${MOST_LEAVES}`);
    }
    if (!Number.isInteger(leaf) || leaf < 0 || leaf >= leaves)
      throw new RangeError(`leaf: ${leaf} is not a whole number below leaves, ${leaves}`);
    const rates = this.#takeRates();
    const call = this.executor.accumulate({ microBatches, random: this.#randomness(random, rates), lossScale: scale, index: leaf, leaves });
    return call.finally(() => {
      this.#freeRates = rates;
    });
  }

  /**
   * Ends a step: the norm of its gradient, clip, optimizer and EMA. Rejects if a leaf is missing, and then the step is discarded. Without
   * `optimizer`, only computes the norm. @throws StepCancelled
   */
  async update(optimizer?: OptimizerStep): Promise<UpdateOutput> {
    const rates = this.#takeRates();
    return this.executor.update(optimizer && this.#scalars(optimizer, rates)).finally(() => {
      this.#freeRates = rates;
    });
  }

  /**
   * Rejects with StepCancelled the steps, leaves, updates and evaluations that run or wait, within 100 ms of a kernel's time (tfjs: between two
   * chunks). Weights, moments and EMA stay as before the step; the next one begins from zero. An update that has begun to change weights is completed
   * and resolves, which takes about a second for 300 million parameters on two cores.
   */
  cancel(): void {
    this.executor.cancel();
  }

  /** The gradient of the present step summed over a node of the tree of leaves, all parameters end to end (parameterFloats). */
  async readSubtree(subtree: Subtree, into: Float32Array): Promise<void> {
    this.#checkGradient(into);
    return this.executor.readSubtree(subtree, into);
  }

  /** Takes such a sum from another executable of the same step, instead of accumulating its leaves. @throws StepCancelled */
  async writeSubtree(subtree: Subtree, leaves: number, from: Float32Array): Promise<void> {
    this.#checkGradient(from);
    return this.executor.writeSubtree(subtree, leaves, from);
  }

  /** Logits [samples, classes] and losses of a batch, without dropout or stochastic depth. @throws StepCancelled after cancel() */
  async evaluate(batch: Omit<MicroBatch, 'firstSample'>, state: 'weights' | 'ema' = 'weights'): Promise<EvaluationOutput> {
    this.#check(batch);
    return this.executor.evaluate({ ...batch, firstSample: 0 }, state);
  }

  /** A copy of one parameter's values. `gradients` are those of the last step. */
  async read(state: StateName, name: string): Promise<Float32Array> {
    const parameter = this.#index(name);
    const values = new Float32Array(this.#sizes[parameter] as number);
    await this.executor.read(state, [{ parameter, values }]);
    return values;
  }

  /** A copy of every parameter's values, in order. */
  async readAll(state: StateName): Promise<NamedTensor[]> {
    const tensors = this.parameters.map(({ name, shape }, index) => ({
      name,
      shape,
      data: new Float32Array(this.#sizes[index] as number),
    }));
    await this.executor.read(
      state,
      tensors.map(({ data }, parameter) => ({ parameter, values: data })),
    );
    return tensors;
  }

  /** Replaces one parameter's values. */
  async write(state: StateName, name: string, values: Float32Array): Promise<void> {
    const parameter = this.#index(name);
    const size = this.#sizes[parameter] as number;
    if (values.length !== size) throw new RangeError(`${state} of ${name}: ${values.length} values given, must be ${size}`);
    await this.executor.write(state, [{ parameter, values }]);
  }

  /** Number of bytes that exportState writes. */
  stateBytes({ ema }: { ema: boolean }): number {
    return Float32Array.BYTES_PER_ELEMENT * this.parameterFloats * (ema ? 4 : 3);
  }

  /**
   * One consistent copy of the training state after all calls made before; later calls wait for it. Its tensors are views of `into`, end to end from
   * its start. `into` has at least stateBytes; default: a new ArrayBuffer.
   */
  async exportState({ ema, into }: { ema: boolean; into?: ArrayBufferLike }): Promise<ProgramState> {
    const bytes = this.stateBytes({ ema });
    const staging = into ?? new ArrayBuffer(bytes);
    if (staging.byteLength < bytes) throw new RangeError(`into: ${staging.byteLength} bytes, the state has ${bytes}`);
    const state: ProgramState = { weights: [], first_moment: [], second_moment: [], ...(ema && { ema: [] }) };
    let offset = 0;
    const copies = (Object.entries(state) as [keyof ProgramState, NamedTensor[]][]).map(([part, tensors]) => {
      for (const [index, { name, shape }] of this.parameters.entries()) {
        const data = new Float32Array(staging, offset, this.#sizes[index] as number);
        tensors.push({ name, shape, data });
        offset += data.byteLength;
      }
      return this.executor.read(
        part,
        tensors.map(({ data }, parameter) => ({ parameter, values: data })),
      );
    });
    await Promise.all(copies);
    return state;
  }

  /**
   * Loads a state. It must have every parameter exactly once with the same name and shape; otherwise nothing is changed. Parts that are absent stay
   * as they are, except that an absent `ema` becomes a copy of the weights. The arrays must not change before the promise settles.
   */
  async importState(state: Partial<ProgramState> & Pick<ProgramState, 'weights'>): Promise<void> {
    const given: [StateName, NamedTensor[]][] = [
      ['weights', state.weights],
      ['ema', state.ema ?? state.weights],
      ...(state.first_moment ? [['first_moment', state.first_moment] as [StateName, NamedTensor[]]] : []),
      ...(state.second_moment ? [['second_moment', state.second_moment] as [StateName, NamedTensor[]]] : []),
    ];
    for (const [part, tensors] of given) this.#checkTensors(part, tensors);
    const values = (tensors: NamedTensor[]): ParameterValues[] =>
      tensors.map(({ name, data }) => ({ parameter: this.#index(name), values: data }));
    await Promise.all(given.map(([part, tensors]) => this.executor.write(part, values(tensors))));
  }

  dispose(): void {
    this.executor.dispose();
  }

  #checkTensors(part: StateName, tensors: readonly NamedTensor[]): void {
    const seen = new Set<string>();
    for (const { name, shape, data } of tensors) {
      const wanted = this.parameters[this.#index(name)]?.shape ?? [];
      if (seen.has(name)) throw new RangeError(`${part}: ${name} is there twice`);
      if (shape.join() !== wanted.join()) throw new RangeError(`${part} of ${name}: shape [${shape}], the model has [${wanted}]`);
      if (data.length !== elements(wanted)) throw new RangeError(`${part} of ${name}: ${data.length} values for shape [${shape}]`);
      seen.add(name);
    }
    const missing = this.parameters.find(({ name }) => !seen.has(name));
    if (missing) throw new RangeError(`${part}: ${missing.name} is missing`);
  }

  #index(name: string): number {
    const index = this.#indices.get(name);
    if (index === undefined) throw new RangeError(`${this.graph.name} has no parameter ${name}`);
    return index;
  }

  #checkLeaf(microBatches: readonly MicroBatch[], lossScale: number): void {
    if (!this.trains) throw new Error(`${this.graph.name} was compiled with evaluateOnly, so it cannot take a step`);
    if (microBatches.length === 0) throw new RangeError('microBatches: a step needs at least one');
    if (!Number.isFinite(lossScale)) throw new RangeError(`lossScale: ${lossScale} is not finite`);
    for (const batch of microBatches) this.#check(batch);
  }

  /** The factor of the losses. */
  #scaleOf(lossScale: number, gradientScale: number | undefined): number {
    if (gradientScale === undefined) return lossScale;
    if (this.fingerprint.precision !== 'f16')
      throw new RangeError(`gradientScale: only for precision f16, not ${this.fingerprint.precision}`);
    if (!(gradientScale > 0 && Number.isInteger(Math.log2(gradientScale))))
      throw new RangeError(`gradientScale: ${gradientScale} is not a power of two`);
    return lossScale * gradientScale;
  }

  #checkGradient({ length }: Float32Array): void {
    if (length !== this.parameterFloats)
      throw new RangeError(`a gradient of ${this.graph.name} has ${this.parameterFloats} floats, but the array has ${length}`);
  }

  #check({ images, targets, samples }: Omit<MicroBatch, 'firstSample'>): void {
    if (!Number.isInteger(samples) || samples < 1) throw new RangeError(`samples: ${samples} is not a positive integer`);
    if (images instanceof Float32Array) this.#checkImages(images.length, samples);
    else if (images.samples !== samples) throw new RangeError(`images: ${images.samples} were prepared for a batch of ${samples} samples`);
    else if (this.executor.stageImages === undefined) throw new TypeError('images: they were prepared for another executor');
    if (targets.length !== samples * this.classes) {
      throw new RangeError(`targets: ${targets.length} floats for ${samples} samples of ${this.classes} classes`);
    }
  }

  #checkImages(length: number, samples: number): void {
    if (length !== samples * this.imageFloats)
      throw new RangeError(`images: ${length} floats for ${samples} samples of [${this.graph.images}]`);
  }

  #takeRates(): StepRates {
    const { sites, paths, parameters } = this.graph;
    const rates = this.#freeRates ?? {
      siteRates: new Float64Array(sites.length),
      pathRates: new Float64Array(paths.length),
      learningRate: new Float64Array(parameters.length),
      weightDecay: new Float64Array(parameters.length),
    };
    this.#freeRates = undefined;
    return rates;
  }

  #randomness(
    { seed, step, dropout = 0, blockRates = [], siteMasks, pathMasks }: StepRandom,
    { siteRates, pathRates }: StepRates,
  ): StepRandomness {
    if (!(dropout >= 0 && dropout < 1)) throw new RangeError(`dropout: ${dropout} is outside [0, 1)`);
    if (dropout > 0 && this.sites.length === 0)
      throw new RangeError(`dropout: ${dropout} has no effect on ${this.graph.name}, which has no dropout site`);
    if (blockRates.length !== 0 && blockRates.length !== this.blocks) {
      throw new RangeError(`blockRates: ${blockRates.length} rates for ${this.blocks} blocks`);
    }
    const bad = blockRates.find((rate) => !(rate >= 0 && rate < 1));
    if (bad !== undefined) throw new RangeError(`blockRates: ${bad} is outside [0, 1)`);
    for (const { index, block } of this.graph.paths) pathRates[index] = blockRates[block] ?? 0;
    return {
      seed: BigInt.asUintN(64, seed),
      step,
      siteRates: siteRates.fill(dropout),
      pathRates,
      ...(siteMasks && { siteMasks: this.graph.sites.map(({ name }) => siteMasks[name]) }),
      ...(pathMasks && { pathMasks: this.graph.paths.map(({ block, branch }) => pathMasks[`${block}.${branch}`]) }),
    };
  }

  /** Selects the explicit masks of some samples of a step. */
  #masksOf(random: StepRandomness, row: number, samples: number): StepRandomness {
    const { siteMasks, pathMasks } = random;
    const part = (mask: Uint8Array | undefined, size: number) => mask?.subarray(row * size, (row + samples) * size);
    return {
      ...random,
      ...(siteMasks && { siteMasks: siteMasks.map((mask, site) => part(mask, elements(this.graph.sites[site]?.shape ?? []))) }),
      ...(pathMasks && { pathMasks: pathMasks.map((mask) => part(mask, 1)) }),
    };
  }

  #scalars({ learningRate, weightDecay, learningRateScale, ...scalars }: OptimizerStep, rates: StepRates): OptimizerScalars {
    for (const [index, { decay }] of this.parameters.entries()) {
      rates.learningRate[index] = learningRate * (learningRateScale?.[index] ?? 1);
      rates.weightDecay[index] = decay ? weightDecay : 0;
    }
    return { ...scalars, learningRate: rates.learningRate, weightDecay: rates.weightDecay };
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0] as Float32Array;
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function mean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return values.length === 0 ? 0 : sum / values.length;
}
