/** A graph with its parameters on TensorFlow.js, behind the same face as the native program. */
import { setImmediate } from 'node:timers/promises';
import type * as tfjs from '@tensorflow/tfjs-core';
import type { Graph } from '#graph/graph.js';
import type { MicroBatch, NativeProgram, OptimizerScalars, StateName, StepOutput, StepRandomness } from '#native/program.js';
import type { TensorFlow } from '#nn/operation.js';
import { elements } from '#nn/tensor.js';
import { type BackendName, useBackend } from './backend.js';
import { type ChunkOutputs, runChunk } from './chunk.js';
import { FlatState } from './flat-state.js';
import { optimize } from './optimizer.js';

const states: readonly StateName[] = ['weights', 'gradients', 'first_moment', 'second_moment', 'ema'];

export class TfjsProgram implements NativeProgram {
  readonly #sizes: number[];
  readonly #offsets: number[] = [];
  readonly #total: number;
  readonly #state: Record<StateName, FlatState>;
  #queue: Promise<unknown> = Promise.resolve();
  #running = 0;
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
    this.#state = Object.fromEntries(states.map((state) => [state, new FlatState(tf, offset)])) as Record<StateName, FlatState>;
  }

  /** Parameters and states; activations come and go. */
  get memoryBytes(): number {
    return this.#total * 4 * states.length;
  }

  step(micro: MicroBatch[], random: StepRandomness, lossScale: number, optimizer?: OptimizerScalars): Promise<StepOutput> {
    return this.#exclusively(async () => {
      const started = performance.now();
      const passes = await this.#passes(micro, 'weights', random, lossScale);
      this.#state.gradients.replace(this.tf.tidy(() => this.#flatten(passes.gradients)));
      for (const gradient of passes.gradients) gradient?.dispose();
      const middle = performance.now();
      const gradNorm = this.#gradNorm();
      if (optimizer) this.#optimize(gradNorm, optimizer);
      const optimizing = (performance.now() - middle) / 1000;
      // Each chunk goes forward and backward in one piece: both are counted as forward.
      const { losses, logits } = passes;
      return { losses, logits, gradNorm, seconds: { forward: (middle - started) / 1000, backward: 0, optimizer: optimizing } };
    });
  }

  evaluate(batch: MicroBatch, state: 'weights' | 'ema'): Promise<{ logits: Float32Array; losses: Float32Array }> {
    return this.#exclusively(async () => {
      const { logits, losses } = await this.#passes([batch], state, undefined, 1);
      return { logits, losses };
    });
  }

  read(state: StateName, parameter: number): Float32Array {
    this.#refuseWhileRunning();
    return this.#state[state].read(this.#offsets[parameter] as number, this.#sizes[parameter] as number);
  }

  write(state: StateName, parameter: number, data: Float32Array): void {
    this.#refuseWhileRunning();
    if (data.length !== this.#sizes[parameter]) throw new RangeError(`${data.length} values for a parameter of ${this.#sizes[parameter]}`);
    this.#state[state].write(this.#offsets[parameter] as number, data);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const free = () => {
      for (const state of states) this.#state[state].dispose();
    };
    this.#queue.then(free, free);
  }

  #refuseWhileRunning(): void {
    if (this.#disposed) throw new Error('The program is disposed');
    if (this.#running > 0) throw new Error('The program is running');
  }

  /** One call at a time, in the order of asking. Between chunks others may use the process; tensors of theirs are not ours. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#disposed) return Promise.reject(new Error('The program is disposed'));
    this.#running++;
    const result = this.#queue.then(work).finally(() => {
      this.#running--;
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** All chunks of all micro-batches. With `random`: forward and backward, the gradients summed; they are the caller's to dispose. */
  async #passes(micro: MicroBatch[], state: 'weights' | 'ema', random: StepRandomness | undefined, lossScale: number) {
    const { tf, graph } = this;
    const samples = micro.reduce((sum, batch) => sum + batch.samples, 0);
    const logits = new Float32Array(samples * graph.classes);
    const losses = new Float32Array(samples);
    let gradients: (tfjs.Tensor | undefined)[] = [];
    let done = 0;
    for (const batch of micro) {
      for (let start = 0; start < batch.samples; start += this.chunkSamples) {
        const count = Math.min(this.chunkSamples, batch.samples - start);
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

  #gradNorm(): number {
    const { tf } = this;
    return tf.tidy(() => Math.sqrt(tf.sum(tf.square(this.#state.gradients.device())).dataSync()[0] as number));
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

  /** One value per parameter → one per element. */
  #expand(values: Float64Array): tfjs.Tensor {
    const flat = new Float32Array(this.#total);
    this.#sizes.forEach((size, k) => {
      const offset = this.#offsets[k] as number;
      flat.fill(values[k] as number, offset, offset + size);
    });
    return this.tf.tensor1d(flat);
  }
}
