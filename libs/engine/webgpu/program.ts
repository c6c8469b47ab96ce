/** A program on the GPU. The device has a thread of its own, so no call blocks the event loop for longer than it takes to copy a chunk. */
import type { Initializer } from '#nn/tensor.js';
import type {
  EvaluationOutput,
  Executable,
  Leaf,
  LeafOutput,
  MicroBatch,
  OptimizerScalars,
  ParameterValues,
  Profiler,
  StagedImages,
  StateName,
  UpdateOutput,
} from '../executable.js';
import type { Subtree } from '../gradient-tree.js';
import type { UnfinishedImages } from '../images.js';
import type { ProgramSpec } from '../native/program-spec.js';
import { type CallArrays, DeviceThread } from './device-thread.js';
import { finishWords } from './finish-words.js';
import type { Tiles } from './kernels/tile-shapes.js';
import type { BatchHead } from './messages.js';
import { WebgpuProfiler } from './profiler.js';

/** Ends the thread of a program that was garbage-collected. */
const collected = new FinalizationRegistry<DeviceThread>((thread) => thread.dispose());

export class WebgpuProgram implements Executable {
  readonly profiler?: Profiler;
  readonly #sizes: readonly number[];
  /** Where each parameter begins in a gradient of all of them. */
  readonly #begins: readonly number[];

  static async create(spec: ProgramSpec, adapter: { software: boolean }, tiles?: Tiles): Promise<WebgpuProgram> {
    return new WebgpuProgram(await DeviceThread.create(spec, adapter, tiles), spec);
  }

  private constructor(
    private readonly thread: DeviceThread,
    private readonly spec: ProgramSpec,
  ) {
    this.#sizes = spec.parameters.map(({ size }) => size);
    let begin = 0;
    this.#begins = this.#sizes.map((size) => {
      begin += size;
      return begin - size;
    });
    if (thread.tellsTime) {
      const profiler = new WebgpuProfiler(thread, spec);
      thread.onTimes = (times) => profiler.add(times);
      this.profiler = profiler;
    }
    collected.register(this, thread, this);
  }

  get memoryBytes(): number {
    return this.thread.memoryBytes;
  }

  async accumulate({ microBatches, ...leaf }: Leaf): Promise<LeafOutput> {
    const call = { kind: 'accumulate' as const, leaf: { ...leaf, microBatches: microBatches.map((batch) => this.#headOf(batch)) } };
    return this.thread.call(call, this.#batches(microBatches)) as Promise<LeafOutput>;
  }

  async stageImages({ pixels, size, plan }: UnfinishedImages): Promise<StagedImages> {
    const samples = plan.samples.length;
    if (3 * size * size !== this.spec.imageFloats) throw new RangeError(`images of ${size} x ${size}: the program takes others`);
    if (pixels.length !== samples * this.spec.imageFloats)
      throw new RangeError(`${pixels.length} bytes for ${samples} images of ${size} x ${size}`);
    return new DeviceImages(this.thread, await this.thread.stage(pixels, finishWords(plan, size), samples), samples);
  }

  async update(optimizer?: OptimizerScalars): Promise<UpdateOutput> {
    return this.thread.call({ kind: 'update', optimizer }) as Promise<UpdateOutput>;
  }

  async evaluate(batch: MicroBatch, state: 'weights' | 'ema'): Promise<EvaluationOutput> {
    return this.thread.call({ kind: 'evaluate', batch: this.#headOf(batch), state }, this.#batches([batch])) as Promise<EvaluationOutput>;
  }

  cancel(): void {
    this.thread.cancel();
  }

  async readSubtree(subtree: Subtree, into: Float32Array): Promise<void> {
    await this.thread.call({ kind: 'readSubtree', subtree }, { floats: (array) => this.#parameterOf(into, array) });
  }

  async writeSubtree(subtree: Subtree, leaves: number, from: Float32Array): Promise<void> {
    await this.thread.call({ kind: 'writeSubtree', subtree, leaves }, { floats: (array) => this.#parameterOf(from, array) });
  }

  async initialize(initializers: readonly Initializer[], seed: bigint): Promise<void> {
    await this.thread.call({ kind: 'initialize', initializers, seed });
  }

  async read(state: StateName, into: readonly ParameterValues[]): Promise<void> {
    this.#check(into);
    const parameters = into.map(({ parameter }) => parameter);
    await this.thread.call({ kind: 'read', state, parameters }, { floats: (array) => into[array]!.values });
  }

  async write(state: StateName, from: readonly ParameterValues[]): Promise<void> {
    this.#check(from);
    const parameters = from.map(({ parameter }) => parameter);
    await this.thread.call({ kind: 'write', state, parameters }, { floats: (array) => from[array]!.values });
  }

  dispose(): void {
    collected.unregister(this);
    this.thread.dispose();
  }

  #headOf({ images, targets, samples, firstSample }: MicroBatch): BatchHead {
    if (images instanceof Float32Array) return { samples, firstSample };
    if (!(images instanceof DeviceImages && images.isOn(this.thread)))
      throw new TypeError('images: they were prepared for another program');
    return { samples, firstSample, staged: { batch: images.batch, targets: targets.slice() } };
  }

  #batches(microBatches: readonly MicroBatch[]): CallArrays {
    const { imageFloats, classes } = this.spec;
    return {
      batch: (batch, first, samples) => {
        const { images, targets } = microBatches[batch]!;
        if (!(images instanceof Float32Array)) throw new TypeError('images that are on the device were asked for');
        const part = (data: Float32Array, size: number) => data.subarray(first * size, (first + samples) * size);
        return [part(images, imageFloats), part(targets, classes)];
      },
    };
  }

  #parameterOf(all: Float32Array, parameter: number): Float32Array {
    const begin = this.#begins[parameter]!;
    return all.subarray(begin, begin + this.#sizes[parameter]!);
  }

  #check(parameters: readonly ParameterValues[]): void {
    for (const { parameter, values } of parameters) {
      const size = this.#sizes[parameter];
      if (size === undefined) throw new RangeError(`there is no parameter ${parameter}`);
      if (values.length !== size) throw new RangeError(`${values.length} values for a parameter of ${size}`);
    }
  }
}

/** Images whose number the device knows. */
class DeviceImages implements StagedImages {
  constructor(
    private readonly thread: DeviceThread,
    readonly batch: number,
    readonly samples: number,
  ) {}

  isOn(thread: DeviceThread): boolean {
    return thread === this.thread;
  }

  release(): void {
    this.thread.release(this.batch);
  }
}
