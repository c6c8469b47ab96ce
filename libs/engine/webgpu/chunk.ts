/** Runs one chunk of samples: uploads it, and submits the calls of the program's passes. */
import type { ProgramSpec } from '../native/program-spec.js';
import type { Arena, DeviceMemory } from './arena.js';
import { MAP_MODE_READ, USAGE } from './arena.js';
import { bindGroup, type Pipeline, type Pipelines } from './bindings.js';
import type { CallClock, TimedSubmission } from './call-times.js';
import { CALL_BYTES } from './call-words.js';
import type { PlannedCall } from './calls.js';
import type { Dispatch } from './kernels/kernel.js';
import { CallSlots, type Chunk, KeptSamples } from './randomness.js';
import { unbroken } from './unbroken.js';

/** What a chunk computes with. Images that are not finished yet are finished by commands that come before all others. */
export interface ChunkData {
  images: Float32Array | ((encoder: GPUCommandEncoder, pass?: GPUComputePassDescriptor) => void);
  targets: Float32Array;
}

interface PreparedDispatch {
  dispatch: Dispatch;
  pipeline: Pipeline;
  call: PlannedCall;
  slot: number;
}

/** Pipelines, uniform and bind groups of every dispatch, made when the program is created. */
export class ChunkRunner {
  readonly #groups = new Map<'weights' | 'ema', Map<PreparedDispatch, GPUBindGroup>>();
  /** The submission before the last one is awaited, so that the device always has one chunk to work on and the queue stays short. */
  #before: Promise<unknown> = Promise.resolve();

  static async create(
    device: GPUDevice,
    memory: DeviceMemory,
    pipelines: Pipelines,
    arena: Arena,
    spec: ProgramSpec,
    calls: { forward: readonly PlannedCall[]; backward: readonly PlannedCall[] },
    clock?: CallClock,
  ): Promise<ChunkRunner> {
    const slots = new CallSlots(spec, [...calls.forward, ...calls.backward]);
    const uniforms = await memory.allocate('uniforms', slots.bytes, USAGE.UNIFORM | USAGE.COPY_DST);
    const prepare = async (pass: readonly PlannedCall[]): Promise<PreparedDispatch[]> => {
      const all = pass.flatMap((call) => call.dispatches.map((dispatch) => ({ call, dispatch })));
      return Promise.all(
        all.map(async ({ call, dispatch }) => {
          return { dispatch, call, pipeline: await pipelines.of(dispatch), slot: slots.offsetOf(call.instruction, dispatch.sizes) };
        }),
      );
    };
    const [forward, backward] = await Promise.all([prepare(calls.forward), prepare(calls.backward)]);
    return new ChunkRunner(device, memory, arena, spec, slots, uniforms, forward, backward, clock);
  }

  private constructor(
    private readonly device: GPUDevice,
    private readonly memory: DeviceMemory,
    private readonly arena: Arena,
    private readonly spec: ProgramSpec,
    private readonly slots: CallSlots,
    private readonly uniforms: GPUBuffer,
    private readonly forward: readonly PreparedDispatch[],
    private readonly backward: readonly PreparedDispatch[],
    private readonly clock: CallClock | undefined,
  ) {}

  /** Memory for the logits and losses of this number of samples, from which they are read at the end. */
  async begin(samples: number): Promise<Outputs> {
    this.#before = Promise.resolve();
    const staging = await this.memory.allocate('logits and losses', 4 * samples * (this.spec.classes + 1), USAGE.MAP_READ | USAGE.COPY_DST);
    return new Outputs(this.memory, staging, samples, this.spec.classes);
  }

  /** Submits a chunk: forward, and backward if it has randomness. Resolves when the chunk before has been computed. */
  async run(chunk: Chunk, { images, targets }: ChunkData, state: 'weights' | 'ema', outputs: Outputs): Promise<void> {
    const { device, arena, spec } = this;
    const { queue } = device;
    const kept = new KeptSamples(spec.paths, spec.chunkSamples, chunk);
    const masks = this.slots.explicitMasks(chunk);
    if (masks !== undefined) await this.#writeMasks(masks);
    queue.writeBuffer(arena.buffers.targets, 0, targets);
    queue.writeBuffer(arena.buffers.samples, 0, kept.list);
    queue.writeBuffer(this.uniforms, 0, this.slots.words(chunk, kept));
    const groups = this.#groupsOf(state);
    const times = this.clock?.submission();
    const encoder = device.createCommandEncoder();
    if (images instanceof Float32Array) queue.writeBuffer(arena.buffers.images, 0, images);
    else images(encoder, times?.pass({ part: 'finish', samples: chunk.samples }));
    this.#encode(encoder, 'forward', kept, groups, times);
    outputs.copy(encoder, chunk, arena.value(spec.logits), arena.value(spec.loss));
    if (chunk.random !== undefined) this.#encode(encoder, 'backward', kept, groups, times);
    times?.resolve(encoder);
    queue.submit([encoder.finish()]);
    times?.submitted();
    const before = this.#before;
    this.#before = unbroken(() => queue.onSubmittedWorkDone());
    await before;
  }

  #encode(
    encoder: GPUCommandEncoder,
    part: 'forward' | 'backward',
    kept: KeptSamples,
    groups: ReadonlyMap<PreparedDispatch, GPUBindGroup>,
    times: TimedSubmission | undefined,
  ): void {
    let pass: GPUComputePassEncoder | undefined;
    let timed: PlannedCall | undefined;
    for (const prepared of this[part]) {
      const { dispatch, pipeline, call, slot } = prepared;
      const n = kept.count(call.instruction.domain);
      if (n === 0) continue;
      const [x, y, z] = dispatch.workgroups(n);
      if (x * y * z === 0) continue;
      if (pass === undefined || (times !== undefined && call !== timed)) {
        pass?.end();
        pass = encoder.beginComputePass(times?.pass({ part, index: call.index, samples: n }));
        timed = call;
      }
      pass.setPipeline(pipeline.pipeline);
      pass.setBindGroup(0, groups.get(prepared)!, [slot]);
      pass.dispatchWorkgroups(x, y, z);
    }
    pass?.end();
  }

  /** The bind groups with parameters from a state. Those of the moving average are made when it is first evaluated. */
  #groupsOf(state: 'weights' | 'ema'): ReadonlyMap<PreparedDispatch, GPUBindGroup> {
    let groups = this.#groups.get(state);
    if (groups === undefined) {
      const uniform = { buffer: this.uniforms, offset: 0, size: CALL_BYTES };
      const all = state === 'weights' ? [...this.forward, ...this.backward] : this.forward;
      groups = new Map(
        all.map((prepared) => {
          const { dispatch, pipeline, call } = prepared;
          return [prepared, bindGroup(this.device, dispatch, pipeline.layout, uniform, (bound) => this.arena.bound(call, bound, state))];
        }),
      );
      this.#groups.set(state, groups);
    }
    return groups;
  }

  /** Only tests have explicit masks, so their memory is allocated when they first appear. */
  async #writeMasks(masks: Uint32Array): Promise<void> {
    const { buffers } = this.arena;
    if (buffers.masks.size < masks.byteLength) {
      this.memory.free(buffers.masks);
      buffers.masks = await this.memory.allocate('masks', masks.byteLength);
      this.#groups.clear();
    }
    this.device.queue.writeBuffer(buffers.masks, 0, masks);
  }
}

/** Logits and losses of a leaf or an evaluation, collected chunk by chunk. */
export class Outputs {
  constructor(
    private readonly memory: DeviceMemory,
    private readonly staging: GPUBuffer,
    private readonly samples: number,
    private readonly classes: number,
  ) {}

  copy(
    encoder: GPUCommandEncoder,
    { samples, firstRow }: Chunk,
    logits: { buffer: GPUBuffer; offset: number },
    losses: { buffer: GPUBuffer; offset: number },
  ): void {
    const rowBytes = 4 * this.classes;
    encoder.copyBufferToBuffer(logits.buffer, logits.offset, this.staging, firstRow * rowBytes, samples * rowBytes);
    encoder.copyBufferToBuffer(losses.buffer, losses.offset, this.staging, this.samples * rowBytes + 4 * firstRow, 4 * samples);
  }

  /** Waits for all chunks. */
  async read(): Promise<{ logits: Float32Array; losses: Float32Array }> {
    await unbroken(() => this.staging.mapAsync(MAP_MODE_READ));
    const all = new Float32Array(this.staging.getMappedRange());
    const split = this.samples * this.classes;
    return { logits: all.slice(0, split), losses: all.slice(split, split + this.samples) };
  }

  free(): void {
    this.memory.free(this.staging);
  }
}
