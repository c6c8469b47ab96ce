/**
 * A graph with its parameters on TensorFlow.js. The work is done on the event loop's thread, chunk by chunk, with turns for other events in between.
 */
import { setImmediate } from 'node:timers/promises';
import type * as tfjs from '@tensorflow/tfjs-core';
import type { Graph } from '#graph/graph.js';
import { initialValues } from '#nn/initialisation.js';
import type { TensorFlow } from '#nn/operation.js';
import { elements, type Initializer } from '#nn/tensor.js';
import type {
  EvaluationOutput,
  Executable,
  Leaf,
  LeafOutput,
  MicroBatch,
  OptimizerScalars,
  ParameterValues,
  StateName,
  StepRandomness,
  UpdateOutput,
} from '../executable.js';
import { StepCancelled } from '../executable.js';
import { GradientSums } from '../gradient-sums.js';
import type { Subtree } from '../gradient-tree.js';
import { type BackendName, useBackend } from './backend.js';
import { type ChunkOutputs, runChunk } from './chunk.js';
import { FlatState } from './flat-state.js';
import { optimize } from './optimizer.js';

const states: readonly StateName[] = ['weights', 'gradients', 'first_moment', 'second_moment', 'ema'];

/** Number of elements that are drawn or copied before the event loop gets a turn: a few milliseconds. */
const DRAWN_AT_ONCE = 100_000;
const COPIED_AT_ONCE = 4_000_000;

export class TfjsProgram implements Executable {
  readonly #sizes: number[];
  readonly #offsets: number[] = [];
  readonly #total: number;
  readonly #state: Record<StateName, FlatState>;
  readonly #sums: GradientSums<tfjs.Tensor1D>;
  /** normed: the step's gradient is complete and its norm was computed; updated: the weights were updated too. */
  #step: 'open' | 'normed' | 'updated' = 'open';
  #queue: Promise<unknown> = Promise.resolve();
  /** Incremented by every cancel; calls with an older ticket are cancelled. */
  #ticket = 0;
  /** Ticket of the step in progress. */
  #stepTicket = 0;
  #disposed = false;

  static async create(tf: TensorFlow, backend: BackendName, graph: Graph, chunkSamples: number): Promise<TfjsProgram> {
    await useBackend(tf, backend);
    return new TfjsProgram(tf, backend, graph, chunkSamples);
  }

  private constructor(
    private readonly tf: TensorFlow,
    private readonly backend: BackendName,
    private readonly graph: Graph,
    private readonly chunkSamples: number,
  ) {
    this.#sizes = graph.parameters.map(({ shape }) => elements(shape));
    let offset = 0;
    for (const size of this.#sizes) {
      this.#offsets.push(offset);
      offset += size;
    }
    this.#total = offset;
    this.#sums = new GradientSums(
      (left, right) => {
        const sum = tf.keep(tf.add(left, right) as tfjs.Tensor1D);
        left.dispose();
        right.dispose();
        return sum;
      },
      (sum) => sum.dispose(),
    );
    this.#state = Object.fromEntries(states.map((state) => [state, new FlatState(tf, offset)])) as Record<StateName, FlatState>;
  }

  /** Parameters and states only; activations are temporary. */
  get memoryBytes(): number {
    return this.#total * 4 * states.length;
  }

  accumulate({ microBatches, random, lossScale, index, leaves }: Leaf): Promise<LeafOutput> {
    const ticket = this.#ticket;
    return this.#exclusively(async () => {
      const started = performance.now();
      const node = { first: index, leaves: 1 };
      this.#beginStep(ticket);
      this.#sums.check(leaves, node);
      const { losses, logits, gradients } = await this.#passes(ticket, microBatches, 'weights', random, lossScale);
      this.#sums.put(leaves, node, this.tf.keep(this.tf.tidy(() => this.#flatten(gradients))));
      for (const gradient of gradients) gradient?.dispose();
      // A chunk runs forward and backward in one piece; both count as forward.
      return { losses, logits, seconds: { forward: (performance.now() - started) / 1000, backward: 0 } };
    });
  }

  update(optimizer?: OptimizerScalars): Promise<UpdateOutput> {
    const ticket = this.#ticket;
    return this.#exclusively(async () => {
      const started = performance.now();
      try {
        this.#throwIfCancelled(ticket);
        if (this.#stepTicket !== ticket) this.#beginStep(ticket);
        if (this.#step === 'updated') throw new RangeError('the step was updated already');
        if (this.#step === 'open') this.#state.gradients.replace(this.#sums.takeWhole());
        this.#step = 'normed';
        await useBackend(this.tf, this.backend);
        const gradNorm = await this.#gradNorm();
        this.#throwIfCancelled(ticket);
        if (optimizer) {
          // Other code had a turn while the norm was read.
          await useBackend(this.tf, this.backend);
          this.#optimize(gradNorm, optimizer);
          this.#step = 'updated';
        }
        return { gradNorm, seconds: { optimizer: (performance.now() - started) / 1000 } };
      } catch (error) {
        this.#sums.clear();
        throw error;
      }
    });
  }

  evaluate(batch: MicroBatch, state: 'weights' | 'ema'): Promise<EvaluationOutput> {
    const ticket = this.#ticket;
    return this.#exclusively(async () => {
      const { logits, losses } = await this.#passes(ticket, [batch], state, undefined, 1);
      return { logits, losses };
    });
  }

  cancel(): void {
    this.#ticket++;
  }

  readSubtree(subtree: Subtree, into: Float32Array): Promise<void> {
    return this.#exclusively(async () => {
      into.set(await this.#sums.find(subtree).data());
    });
  }

  writeSubtree(subtree: Subtree, leaves: number, from: Float32Array): Promise<void> {
    const ticket = this.#ticket;
    return this.#exclusively(async () => {
      this.#beginStep(ticket);
      this.#sums.check(leaves, subtree);
      await useBackend(this.tf, this.backend);
      this.#sums.put(leaves, subtree, this.tf.keep(this.tf.tensor1d(from.slice())));
    });
  }

  initialize(initializers: readonly Initializer[], seed: bigint): Promise<void> {
    return this.#exclusively(async () => {
      for (const [index, initializer] of initializers.entries()) {
        const [offset, size] = this.#place(index);
        for (let begin = 0; begin < size; begin += DRAWN_AT_ONCE) {
          const values = initialValues({ shape: [size], initializer, index }, seed, begin, Math.min(size, begin + DRAWN_AT_ONCE));
          for (const state of ['weights', 'ema'] as const) await this.#state[state].write(offset + begin, values);
          const zeros = new Float32Array(values.length);
          for (const state of ['first_moment', 'second_moment'] as const) await this.#state[state].write(offset + begin, zeros);
          await setImmediate();
        }
      }
    });
  }

  read(state: StateName, into: readonly ParameterValues[]): Promise<void> {
    return this.#exclusively(async () => {
      if (state === 'gradients' && this.#step === 'open') throw new RangeError('gradients can be read after an update only');
      await this.#inTurns(into, (offset, values) => this.#state[state].read(offset, values));
    });
  }

  write(state: StateName, from: readonly ParameterValues[]): Promise<void> {
    return this.#exclusively(async () => {
      if (state === 'gradients') throw new RangeError('gradients cannot be written');
      await this.#inTurns(from, (offset, values) => this.#state[state].write(offset, values));
    });
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const free = () => {
      for (const state of states) this.#state[state].dispose();
      this.#sums.clear();
    };
    this.#queue.then(free, free);
  }

  #place(parameter: number): [offset: number, size: number] {
    const [offset, size] = [this.#offsets[parameter], this.#sizes[parameter]];
    if (offset === undefined || size === undefined) throw new RangeError(`there is no parameter ${parameter}`);
    return [offset, size];
  }

  async #inTurns(parameters: readonly ParameterValues[], copy: (offset: number, values: Float32Array) => Promise<void>): Promise<void> {
    let copied = 0;
    for (const { parameter, values } of parameters) {
      const [offset, size] = this.#place(parameter);
      if (values.length !== size) throw new RangeError(`${values.length} values for a parameter of ${size}`);
      await copy(offset, values);
      copied += size;
      if (copied < COPIED_AT_ONCE) continue;
      copied = 0;
      await setImmediate();
    }
  }

  #beginStep(ticket: number): void {
    this.#throwIfCancelled(ticket);
    if (this.#step !== 'open' || this.#stepTicket !== ticket) this.#sums.clear();
    this.#step = 'open';
    this.#stepTicket = ticket;
  }

  #throwIfCancelled(ticket: number): void {
    if (ticket !== this.#ticket) throw new StepCancelled();
  }

  /** One call at a time, in the order of calls. Other code may use TensorFlow.js between chunks; its tensors are not tracked here. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#disposed) return Promise.reject(new Error('The program is disposed'));
    const result = this.#queue.then(() => {
      if (this.#disposed) throw new Error('The program is disposed');
      return work();
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** Runs all chunks of all micro-batches. With `random`: forward and backward, and the gradients are summed; the caller disposes them. */
  async #passes(ticket: number, micro: MicroBatch[], state: 'weights' | 'ema', random: StepRandomness | undefined, lossScale: number) {
    const { tf, graph } = this;
    const samples = micro.reduce((sum, batch) => sum + batch.samples, 0);
    const logits = new Float32Array(samples * graph.classes);
    const losses = new Float32Array(samples);
    let gradients: (tfjs.Tensor | undefined)[] = [];
    let done = 0;
    for (const batch of micro) {
      for (let start = 0; start < batch.samples; start += this.chunkSamples) {
        const count = Math.min(this.chunkSamples, batch.samples - start);
        if (ticket !== this.#ticket) for (const sum of gradients) sum?.dispose();
        this.#throwIfCancelled(ticket);
        await useBackend(tf, this.backend);
        const chunk = tf.tidy(
          () => this.#chunk(batch, start, count, state, random, lossScale, gradients) as unknown as tfjs.TensorContainer,
        );
        const outputs = chunk as unknown as ChunkOutputs;
        for (const old of gradients) old?.dispose();
        gradients = outputs.gradients;
        logits.set(await outputs.logits.data(), done * graph.classes);
        losses.set(await outputs.losses.data(), done);
        outputs.logits.dispose();
        outputs.losses.dispose();
        done += count;
        await setImmediate();
      }
    }
    if (ticket !== this.#ticket) for (const sum of gradients) sum?.dispose();
    this.#throwIfCancelled(ticket);
    return { logits, losses, gradients };
  }

  #chunk(
    { images, targets, firstSample }: MicroBatch,
    start: number,
    samples: number,
    state: 'weights' | 'ema',
    random: StepRandomness | undefined,
    lossScale: number,
    sums: (tfjs.Tensor | undefined)[],
  ): ChunkOutputs {
    const { tf, graph } = this;
    if (!(images instanceof Float32Array)) throw new TypeError('images: TensorFlow.js takes finished images');
    const part = (data: Float32Array, shape: readonly number[]) => {
      const size = elements(shape);
      return tf.tensor(data.slice(start * size, (start + samples) * size), [samples, ...shape]);
    };
    const vectors = tf.split(this.#state[state].device(), this.#sizes);
    const outputs = runChunk(
      tf,
      graph,
      {
        images: part(images, graph.images),
        targets: part(targets, [graph.classes]),
        samples,
        firstSample: firstSample + start,
        parameters: graph.parameters.map(({ shape }, k) => tf.reshape(vectors[k] as tfjs.Tensor, [...shape])),
        lossScale,
        random,
      },
      random !== undefined,
    );
    const gradients = outputs.gradients.map((gradient, k) => {
      const sum = sums[k];
      if (gradient === undefined) return sum && tf.clone(sum);
      return sum === undefined ? gradient : tf.add(sum, gradient);
    });
    return { ...outputs, gradients };
  }

  #flatten(gradients: readonly (tfjs.Tensor | undefined)[]): tfjs.Tensor1D {
    const { tf } = this;
    return tf.concat(this.#sizes.map((size, k) => tf.reshape(gradients[k] ?? tf.zeros([size]), [size])) as tfjs.Tensor1D[]);
  }

  /** Read asynchronously, because not every backend can read in any other way. */
  async #gradNorm(): Promise<number> {
    const { tf } = this;
    const squares = tf.tidy(() => tf.sum(tf.square(this.#state.gradients.device())));
    try {
      return Math.sqrt((await squares.data())[0] as number);
    } finally {
      squares.dispose();
    }
  }

  #optimize(gradNorm: number, scalars: OptimizerScalars): void {
    const { tf } = this;
    const vectors = Object.fromEntries(states.map((state) => [state, this.#state[state].device()])) as Record<StateName, tfjs.Tensor>;
    const updated = tf.tidy(
      () => optimize(tf, vectors, gradNorm, scalars, (values) => this.#expand(values)) as unknown as tfjs.TensorContainer,
    ) as unknown as ReturnType<typeof optimize>;
    for (const [state, tensor] of Object.entries(updated) as [Exclude<StateName, 'gradients'>, tfjs.Tensor1D][]) {
      this.#state[state].replace(tensor);
    }
  }

  /** Expands one value per parameter to one per element. */
  #expand(values: Float64Array): tfjs.Tensor {
    const flat = new Float32Array(this.#total);
    this.#sizes.forEach((size, k) => {
      const offset = this.#offsets[k] as number;
      flat.fill(values[k] as number, offset, offset + size);
    });
    return this.tf.tensor1d(flat);
  }
}
