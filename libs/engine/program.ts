/** A compiled model: its parameters and what can be done with them. The same on every executor. */
import { setImmediate } from 'node:timers/promises';
import type { Graph } from '#graph/graph.js';
import type { MicroBatch, NativeProgram, OptimizerScalars, Profiler, StateName, StepOutput, StepRandomness } from '#native/program.js';
import { initialValues } from '#nn/initialisation.js';
import { elements, type Parameter, type Shape } from '#nn/tensor.js';
import { decays } from '#nn/weight-decay-groups.js';
import type { Precision } from './precision.js';

/** What a run's bits depend on besides its inputs. Part of every checkpoint. */
export interface Fingerprint {
  executor: string;
  precision: Precision;
  /** Instruction-set path or TensorFlow.js backend. */
  kernelPath: string;
  build: string;
}

export interface ParameterInfo {
  name: string;
  shape: Shape;
  /** Whether weight decay acts on it. */
  decay: boolean;
}

export interface StepRandom {
  seed: bigint;
  /** Counter of the optimizer step, from 0: the same step draws the same masks. */
  step: number;
  /** Drop rate of every dropout site, in [0, 1). Default 0. */
  dropout?: number;
  /** Stochastic-depth rate of every block, in [0, 1). Default: none. */
  blockRates?: readonly number[];
  /** Explicit masks instead of drawn ones (for tests), 1 = kept: by site name [samples, ...site]; by `block.branch` [samples]. Scaled by the rates above. */
  siteMasks?: Readonly<Record<string, Uint8Array>>;
  pathMasks?: Readonly<Record<string, Uint8Array>>;
}

export interface OptimizerStep extends Omit<OptimizerScalars, 'learningRate' | 'weightDecay'> {
  learningRate: number;
  /** Acts on parameters that decay. */
  weightDecay: number;
  /** Per parameter, in order; default 1. */
  learningRateScale?: ArrayLike<number>;
}

export interface StepRequest {
  /** All micro-batches of the optimizer step, in order. */
  microBatches: MicroBatch[];
  random: StepRandom;
  /** Factor of every sample's loss in the gradient: 1 / samples of the whole step gives the gradient of the mean. */
  lossScale: number;
  /** Absent: gradients only. */
  optimizer?: OptimizerStep;
}

export interface StepResult extends StepOutput {
  /** Mean loss over all samples, summed in batch order in float64. */
  loss: number;
}

export interface NamedTensor {
  name: string;
  shape: Shape;
  data: Float32Array;
}

/** Everything that training changes. `ema` only where one is kept. */
export interface ProgramState {
  weights: NamedTensor[];
  first_moment: NamedTensor[];
  second_moment: NamedTensor[];
  ema?: NamedTensor[];
}

/** Rates of one step by site, path and parameter: taken over from step to step, so that steps allocate nothing but their results. */
interface StepRates {
  siteRates: Float64Array;
  pathRates: Float64Array;
  learningRate: Float64Array;
  weightDecay: Float64Array;
}

export class Program {
  readonly parameters: readonly ParameterInfo[];
  /** Names of the dropout sites, in counter order. */
  readonly sites: readonly string[];
  /** Number of blocks: the length of `blockRates`. */
  readonly blocks: number;
  readonly classes: number;
  /** Floats of one image, C·H·W. */
  readonly imageFloats: number;
  readonly #indices: ReadonlyMap<string, number>;
  /** Of no step that runs or waits. */
  #freeRates: StepRates | undefined;

  constructor(
    private readonly graph: Graph,
    private readonly executor: NativeProgram,
    readonly fingerprint: Fingerprint,
    readonly chunkSamples: number,
    private readonly trains = true,
  ) {
    this.parameters = graph.parameters.map(({ name, shape }) => ({ name, shape, decay: decays(name, shape) }));
    this.sites = graph.sites.map(({ name }) => name);
    this.blocks = graph.paths.reduce((most, { block }) => Math.max(most, block + 1), 0);
    this.classes = graph.classes;
    this.imageFloats = elements(graph.images);
    this.#indices = new Map(this.parameters.map(({ name }, index) => [name, index]));
  }

  /** Bytes held outside the JavaScript heap: arena, parameters and optimizer state. */
  get peakBytes(): number {
    return this.executor.memoryBytes;
  }

  /** Where the time of steps and evaluations goes, kernel by kernel; undefined where the executor cannot tell. */
  get profiler(): Profiler | undefined {
    return this.executor.profiler;
  }

  /**
   * Starts over from the model's initialisation under a seed: weights and EMA drawn, moments zero. Takes about 60 ms a million
   * parameters at once: in a service, use initializeGradually.
   */
  initialize(seed: bigint): void {
    for (const { index } of this.graph.parameters) this.#initializeParameter(index, seed);
  }

  /** initialize, giving the event loop a turn between parameters. No other call may be made meanwhile. */
  async initializeGradually(seed: bigint, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    for (const { index } of this.graph.parameters) {
      signal?.throwIfAborted();
      this.#initializeParameter(index, seed);
      await setImmediate();
    }
  }

  /** One optimizer step: forward and backward over every micro-batch, then clip, optimizer and EMA. */
  async step({ microBatches, random, lossScale, optimizer }: StepRequest): Promise<StepResult> {
    if (!this.trains) throw new Error(`${this.graph.name} was compiled with evaluateOnly: it takes no step`);
    if (microBatches.length === 0) throw new RangeError('microBatches: a step needs at least one');
    if (!Number.isFinite(lossScale)) throw new RangeError(`lossScale: ${lossScale} is not finite`);
    for (const batch of microBatches) this.#check(batch);
    const rates = this.#takeRates();
    const output = await this.executor.step(
      microBatches,
      this.#randomness(random, rates),
      lossScale,
      optimizer && this.#scalars(optimizer, rates),
    );
    this.#freeRates = rates;
    return { ...output, loss: mean(output.losses) };
  }

  /** Logits [samples, classes] and losses of a batch, without dropout or stochastic depth. */
  async evaluate(
    batch: Omit<MicroBatch, 'firstSample'>,
    state: 'weights' | 'ema' = 'weights',
  ): Promise<{ logits: Float32Array; losses: Float32Array }> {
    this.#check(batch);
    return this.executor.evaluate({ ...batch, firstSample: 0 }, state);
  }

  /** A copy of one parameter's values. Refused while a call runs. */
  read(state: StateName, name: string): Float32Array {
    return this.executor.read(state, this.#index(name));
  }

  /** Replaces one parameter's values. Refused while a call runs. */
  write(state: StateName, name: string, data: Float32Array): void {
    const index = this.#index(name);
    const size = elements(this.parameters[index]?.shape ?? []);
    if (data.length !== size) throw new RangeError(`${state} of ${name}: ${data.length} values given, it has ${size}`);
    this.executor.write(state, index, data);
  }

  /** One consistent copy of the training state, made at once; no call may run meanwhile. */
  exportState({ ema }: { ema: boolean }): ProgramState {
    const state: ProgramState = { weights: [], first_moment: [], second_moment: [], ...(ema && { ema: [] }) };
    for (const index of this.parameters.keys()) this.#copyParameter(state, index);
    return state;
  }

  /** exportState, giving the event loop a turn between parameters. No step may be asked for meanwhile: it would tear the copy. */
  async exportGradually({ ema, signal }: { ema: boolean; signal?: AbortSignal }): Promise<ProgramState> {
    const state: ProgramState = { weights: [], first_moment: [], second_moment: [], ...(ema && { ema: [] }) };
    for (const index of this.parameters.keys()) {
      signal?.throwIfAborted();
      this.#copyParameter(state, index);
      await setImmediate();
    }
    return state;
  }

  /** Loads a state: every parameter exactly once, names and shapes equal, refused as a whole otherwise. What is absent stays, `ema` becomes the weights. */
  importState(state: Partial<ProgramState> & Pick<ProgramState, 'weights'>): void {
    const given: [StateName, NamedTensor[]][] = [
      ['weights', state.weights],
      ['ema', state.ema ?? state.weights],
      ...(state.first_moment ? [['first_moment', state.first_moment] as [StateName, NamedTensor[]]] : []),
      ...(state.second_moment ? [['second_moment', state.second_moment] as [StateName, NamedTensor[]]] : []),
    ];
    for (const [part, tensors] of given) this.#checkTensors(part, tensors);
    for (const [part, tensors] of given) for (const { name, data } of tensors) this.write(part, name, data);
  }

  dispose(): void {
    this.executor.dispose();
  }

  #initializeParameter(index: number, seed: bigint): void {
    const values = initialValues(this.graph.parameters[index] as Parameter, seed);
    this.executor.write('weights', index, values);
    this.executor.write('ema', index, values);
    const zeros = new Float32Array(values.length);
    this.executor.write('first_moment', index, zeros);
    this.executor.write('second_moment', index, zeros);
  }

  #copyParameter(state: ProgramState, index: number): void {
    const { name, shape } = this.parameters[index] as ParameterInfo;
    for (const [part, tensors] of Object.entries(state) as [keyof ProgramState, NamedTensor[]][]) {
      tensors.push({ name, shape, data: this.executor.read(part, index) });
    }
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

  #check({ images, targets, samples }: Omit<MicroBatch, 'firstSample'>): void {
    if (!Number.isInteger(samples) || samples < 1) throw new RangeError(`samples: ${samples} is not a positive integer`);
    if (images.length !== samples * this.imageFloats) {
      throw new RangeError(`images: ${images.length} floats for ${samples} samples of [${this.graph.images}]`);
    }
    if (targets.length !== samples * this.classes) {
      throw new RangeError(`targets: ${targets.length} floats for ${samples} samples of ${this.classes} classes`);
    }
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

  #scalars({ learningRate, weightDecay, learningRateScale, ...scalars }: OptimizerStep, rates: StepRates): OptimizerScalars {
    for (const [index, { decay }] of this.parameters.entries()) {
      rates.learningRate[index] = learningRate * (learningRateScale?.[index] ?? 1);
      rates.weightDecay[index] = decay ? weightDecay : 0;
    }
    return { ...scalars, learningRate: rates.learningRate, weightDecay: rates.weightDecay };
  }
}

function mean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return values.length === 0 ? 0 : sum / values.length;
}
