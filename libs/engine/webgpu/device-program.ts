/** A program on the device: what Executable promises (../executable.ts), one call at a time, on the device's own thread. */
import { setImmediate } from 'node:timers/promises';
import { atOnce } from '#bounds/pieces.js';
import { initialValues } from '#nn/initialisation.js';
import type { Initializer } from '#nn/tensor.js';
import type { EvaluationOutput, LeafOutput, OptimizerScalars, StepRandomness, UpdateOutput } from '../executable.js';
import { StepCancelled } from '../executable.js';
import { GradientSums } from '../gradient-sums.js';
import type { Subtree } from '../gradient-tree.js';
import type { ProgramSpec } from '../native/program-spec.js';
import { Arena, DeviceMemory, MAP_MODE_READ, USAGE } from './arena.js';
import { Pipelines } from './bindings.js';
import { CallClock } from './call-times.js';
import { planCalls } from './calls.js';
import { type ChunkData, ChunkRunner } from './chunk.js';
import type { OpenDevice } from './device.js';
import type { Tiles } from './kernels/tile-shapes.js';
import type { BatchHead, Call, Result } from './messages.js';
import { Optimizer } from './optimizer.js';
import { StagedImagesOnDevice } from './staged-images.js';
import { type HostArrays, readParameters, writeParameters } from './transfer.js';
import { unbroken } from './unbroken.js';

/** What a running call gets from the other thread. */
export interface Host extends HostArrays {
  batch(batch: number, first: number, samples: number): Promise<{ images: Float32Array; targets: Float32Array }>;
  /** Whether cancel() was called after the call was made. */
  cancelled(): boolean;
}

export class DeviceProgram {
  readonly #sums: GradientSums<GPUBuffer>;
  /** Buffers of the size of a gradient that no sum is in. */
  readonly #spare: GPUBuffer[] = [];
  /** normed: the step's gradient is complete and its norm was computed; updated: the weights were updated too. */
  #step: 'open' | 'normed' | 'updated' = 'open';
  /** Ticket of the step in progress. */
  #stepTicket = 0;

  /** @throws OutOfDeviceMemory */
  static async create(open: OpenDevice, spec: ProgramSpec, tiles?: Tiles, mostBytes?: number): Promise<DeviceProgram> {
    const { device, adapter } = open;
    const memory = new DeviceMemory(device, adapter.name, mostBytes);
    const pipelines = new Pipelines(device);
    const calls = { forward: atOnce(planCalls(spec, spec.forward, tiles)), backward: atOnce(planCalls(spec, spec.backward, tiles)) };
    const all = [...calls.forward, ...calls.backward];
    // Shaders compile on threads of Dawn's while memory is allocated; their errors are those of ChunkRunner.create.
    for (const { dispatches } of all) for (const dispatch of dispatches) pipelines.of(dispatch).catch(() => undefined);
    const arena = await Arena.create(memory, spec, all);
    const clock = CallClock.works(device) ? new CallClock(device) : undefined;
    const [runner, optimizer] = await Promise.all([
      ChunkRunner.create(device, memory, pipelines, arena, spec, calls, clock),
      Optimizer.create(device, memory, pipelines, arena, clock),
    ]);
    const images = new StagedImagesOnDevice(device, memory, pipelines, spec, arena.buffers.images);
    return new DeviceProgram(open, spec, memory, arena, runner, optimizer, images, clock);
  }

  private constructor(
    private readonly open: OpenDevice,
    private readonly spec: ProgramSpec,
    private readonly memory: DeviceMemory,
    private readonly arena: Arena,
    private readonly runner: ChunkRunner,
    private readonly optimizer: Optimizer,
    readonly images: StagedImagesOnDevice,
    /** Absent if the device cannot tell the time. */
    readonly clock: CallClock | undefined,
  ) {
    this.#sums = new GradientSums(
      (left, right) => {
        // The sum stays where the step's gradient is, if one of the two is there.
        const [sum, other] = right === arena.state.gradients ? [right, left] : [left, right];
        optimizer.add(sum, other);
        this.#free(other);
        return sum;
      },
      (sum) => this.#free(sum),
    );
  }

  get memoryBytes(): number {
    return this.memory.bytes;
  }

  async run(call: Call, ticket: number, host: Host): Promise<Result> {
    switch (call.kind) {
      case 'accumulate':
        return this.#accumulate(call.leaf, ticket, host);
      case 'update':
        return this.#update(call.optimizer, ticket, host);
      case 'evaluate':
        return this.#evaluate(call.batch, call.state, host);
      case 'readSubtree':
        return readParameters(
          this.open.device,
          this.memory,
          this.#sums.find(call.subtree),
          this.arena.places,
          this.#everyParameter(),
          host,
        );
      case 'writeSubtree':
        return this.#writeSubtree(call.subtree, call.leaves, ticket, host);
      case 'initialize':
        return this.#initialize(call.initializers, call.seed);
      case 'read':
        if (call.state === 'gradients' && this.#step === 'open') throw new RangeError('gradients can be read after an update only');
        return readParameters(this.open.device, this.memory, this.arena.state[call.state], this.arena.places, call.parameters, host);
      case 'write':
        if (call.state === 'gradients') throw new RangeError('gradients cannot be written');
        return writeParameters(this.open.device, this.arena.state[call.state], this.arena.places, call.parameters, host);
      case 'dispose':
        this.open.close();
        return undefined;
    }
  }

  async #accumulate(
    { microBatches, random, lossScale, index, leaves }: Extract<Call, { kind: 'accumulate' }>['leaf'],
    ticket: number,
    host: Host,
  ): Promise<LeafOutput> {
    const started = performance.now();
    const node = { first: index, leaves: 1 };
    this.#beginStep(ticket, host);
    this.#sums.check(leaves, node);
    await this.#clearGradients();
    const { losses, logits } = await this.#passes(microBatches, 'weights', host, lossScale, random);
    this.#sums.put(leaves, node, this.arena.state.gradients);
    // A chunk's passes are submitted together; both count as forward.
    return { losses, logits, seconds: { forward: (performance.now() - started) / 1000, backward: 0 } };
  }

  async #update(scalars: OptimizerScalars | undefined, ticket: number, host: Host): Promise<UpdateOutput> {
    const started = performance.now();
    try {
      throwIfCancelled(host);
      if (this.#stepTicket !== ticket) this.#beginStep(ticket, host);
      if (this.#step === 'updated') throw new RangeError('the step was updated already');
      if (this.#step === 'open') this.#takeWhole();
      this.#step = 'normed';
      const gradNorm = Math.sqrt(await this.#readFloat(this.optimizer.norm())) / (scalars?.gradientScale ?? 1);
      const skipped = scalars?.gradientScale !== undefined && !Number.isFinite(gradNorm);
      throwIfCancelled(host);
      if (scalars !== undefined) {
        this.optimizer.optimize(gradNorm, scalars, skipped);
        this.#step = 'updated';
        await unbroken(() => this.open.device.queue.onSubmittedWorkDone());
      }
      return { gradNorm, skipped, seconds: { optimizer: (performance.now() - started) / 1000 } };
    } catch (error) {
      this.#sums.clear();
      throw error;
    }
  }

  async #evaluate(batch: BatchHead, state: 'weights' | 'ema', host: Host): Promise<EvaluationOutput> {
    throwIfCancelled(host);
    return this.#passes([batch], state, host, 1);
  }

  async #writeSubtree(subtree: Subtree, leaves: number, ticket: number, host: Host): Promise<undefined> {
    this.#beginStep(ticket, host);
    this.#sums.check(leaves, subtree);
    const sum = await this.#spareBuffer();
    await writeParameters(this.open.device, sum, this.arena.places, this.#everyParameter(), host);
    if (host.cancelled()) this.#free(sum);
    throwIfCancelled(host);
    this.#sums.put(leaves, subtree, sum);
    return undefined;
  }

  /** Runs all chunks of all micro-batches. With `random`: forward and backward, and gradients are added to. */
  async #passes(batches: readonly BatchHead[], state: 'weights' | 'ema', host: Host, lossScale: number, random?: StepRandomness) {
    const { chunkSamples } = this.spec;
    const total = batches.reduce((sum, { samples }) => sum + samples, 0);
    const outputs = await this.runner.begin(total);
    try {
      let row = 0;
      for (const [index, batch] of batches.entries()) {
        for (let first = 0; first < batch.samples; first += chunkSamples) {
          const count = Math.min(chunkSamples, batch.samples - first);
          const data = this.#staged(batch, first, count) ?? (await host.batch(index, first, count));
          throwIfCancelled(host);
          const chunk = { samples: count, firstSample: batch.firstSample + first, firstRow: row, lossScale, random };
          await this.runner.run(chunk, data, state, outputs);
          row += count;
        }
      }
      const read = await outputs.read();
      throwIfCancelled(host);
      return read;
    } finally {
      outputs.free();
    }
  }

  #staged({ staged }: BatchHead, first: number, samples: number): ChunkData | undefined {
    if (staged === undefined) return undefined;
    const { classes } = this.spec;
    return {
      images: (encoder, pass) => this.images.finish(encoder, staged.batch, first, samples, pass),
      targets: staged.targets.subarray(first * classes, (first + samples) * classes),
    };
  }

  async #initialize(initializers: readonly Initializer[], seed: bigint): Promise<undefined> {
    const { state, places } = this.arena;
    const { queue } = this.open.device;
    for (const [index, initializer] of initializers.entries()) {
      const [size, offset] = [places.sizes[index]!, places.offsets[index]!];
      for (let begin = 0; begin < size; begin += DRAWN_AT_ONCE) {
        const values = initialValues({ shape: [size], initializer, index }, seed, begin, Math.min(size, begin + DRAWN_AT_ONCE));
        queue.writeBuffer(state.weights, 4 * (offset + begin), values);
        await setImmediate();
      }
    }
    const encoder = this.open.device.createCommandEncoder();
    encoder.copyBufferToBuffer(state.weights, 0, state.ema, 0, state.weights.size);
    for (const name of ['first_moment', 'second_moment'] as const) encoder.clearBuffer(state[name]);
    queue.submit([encoder.finish()]);
    await unbroken(() => queue.onSubmittedWorkDone());
    return undefined;
  }

  #beginStep(ticket: number, host: Host): void {
    throwIfCancelled(host);
    if (this.#step !== 'open' || this.#stepTicket !== ticket) this.#sums.clear();
    this.#step = 'open';
    this.#stepTicket = ticket;
  }

  /** Prepares the buffer in which the passes sum gradients: a finished sum that is still there goes elsewhere. */
  async #clearGradients(): Promise<void> {
    const { gradients } = this.arena.state;
    const kept = this.#sums.holds(gradients) ? await this.#spareBuffer() : undefined;
    const encoder = this.open.device.createCommandEncoder();
    if (kept !== undefined) encoder.copyBufferToBuffer(gradients, 0, kept, 0, gradients.size);
    encoder.clearBuffer(gradients);
    this.open.device.queue.submit([encoder.finish()]);
    if (kept !== undefined) this.#sums.move(gradients, kept);
  }

  /** Puts the sum of all leaves where the step's gradient is. */
  #takeWhole(): void {
    const { gradients } = this.arena.state;
    const whole = this.#sums.takeWhole();
    if (whole === gradients) return;
    const encoder = this.open.device.createCommandEncoder();
    encoder.copyBufferToBuffer(whole, 0, gradients, 0, gradients.size);
    this.open.device.queue.submit([encoder.finish()]);
    this.#free(whole);
  }

  async #spareBuffer(): Promise<GPUBuffer> {
    return this.#spare.pop() ?? this.memory.allocate('gradients of another leaf', 4 * this.arena.places.floats);
  }

  #free(sum: GPUBuffer): void {
    if (sum !== this.arena.state.gradients) this.#spare.push(sum);
  }

  async #readFloat({ buffer, offset }: { buffer: GPUBuffer; offset: number }): Promise<number> {
    const { device } = this.open;
    const staging = await this.memory.allocate('a sum', 4, USAGE.MAP_READ | USAGE.COPY_DST);
    try {
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, offset, staging, 0, 4);
      device.queue.submit([encoder.finish()]);
      await unbroken(() => staging.mapAsync(MAP_MODE_READ, 0, 8));
      return new Float32Array(staging.getMappedRange(0, 4))[0]!;
    } finally {
      this.memory.free(staging);
    }
  }

  #everyParameter(): number[] {
    return this.spec.parameters.map((_, index) => index);
  }
}

/** Number of elements that are drawn before other messages get a turn: a few milliseconds. */
const DRAWN_AT_ONCE = 100_000;

function throwIfCancelled(host: Host): void {
  if (host.cancelled()) throw new StepCancelled();
}
