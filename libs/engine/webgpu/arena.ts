/** All memory of a program on the device, and the place of every operand in it. */

import type { StateName } from '../executable.js';
import type { ProgramSpec } from '../native/program-spec.js';
import { ALIGNMENT, type BufferRange } from './bindings.js';
import { ALIGNMENT_FLOATS, type PlannedCall } from './calls.js';
import type { Bound } from './kernels/kernel.js';
import { alignedFloats, arenaBytes, LESS_MEMORY } from './needs.js';
import { unbroken } from './unbroken.js';

/** The values of GPUBufferUsage, which is a global that exists only after Dawn was loaded. */
export const USAGE = { MAP_READ: 0x1, COPY_SRC: 0x4, COPY_DST: 0x8, UNIFORM: 0x40, STORAGE: 0x80, QUERY_RESOLVE: 0x200 } as const;
/** GPUMapMode.READ. */
export const MAP_MODE_READ = 1;

/** The device has not enough memory for a program. */
export class OutOfDeviceMemory extends Error {
  override readonly name = 'OutOfDeviceMemory';
}

/** Allocates buffers, counts their bytes and frees them. */
export class DeviceMemory {
  #bytes = 0;
  readonly #buffers = new Set<GPUBuffer>();

  /** `most`: the limit of `bytes`, if there is one besides what the device gives. */
  constructor(
    private readonly device: GPUDevice,
    private readonly adapter: string,
    private readonly most = Number.POSITIVE_INFINITY,
  ) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** A buffer full of zeros. @throws OutOfDeviceMemory */
  async allocate(label: string, bytes: number, usage: number = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST): Promise<GPUBuffer> {
    const size = Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);
    const megabytes = (size / 1e6).toFixed(0);
    if (size > this.device.limits.maxBufferSize) {
      const most = (this.device.limits.maxBufferSize / 1e6).toFixed(0);
      throw new OutOfDeviceMemory(`${label} need ${megabytes} MB, but ${this.adapter} has buffers of at most ${most} MB; ${LESS_MEMORY}`);
    }
    if (this.#bytes + size > this.most) {
      const [all, most] = [this.#bytes + size, this.most].map((one) => Math.ceil(one / 2 ** 20));
      throw new OutOfDeviceMemory(`with ${label} the program takes ${all} MB, but DROPSTREAM_GPU_MEMORY allows ${most} MB`);
    }
    this.device.pushErrorScope('out-of-memory');
    const buffer = this.device.createBuffer({ label, size, usage });
    const failure = await unbroken(() => this.device.popErrorScope());
    if (failure !== null) {
      buffer.destroy();
      throw new OutOfDeviceMemory(`${this.adapter} has no memory for ${megabytes} MB of ${label}; ${LESS_MEMORY}`);
    }
    this.#bytes += size;
    this.#buffers.add(buffer);
    return buffer;
  }

  free(buffer: GPUBuffer): void {
    if (!this.#buffers.delete(buffer)) return;
    this.#bytes -= buffer.size;
    buffer.destroy();
  }
}

/** Where the parameters are in the buffer of a state: each begins at a multiple of 64 floats. */
export interface ParameterPlaces {
  offsets: readonly number[];
  sizes: readonly number[];
  floats: number;
}

export function parameterPlaces(sizes: readonly number[]): ParameterPlaces {
  const offsets: number[] = [];
  let floats = 0;
  for (const size of sizes) {
    offsets.push(floats);
    floats += alignedFloats(size);
  }
  return { offsets, sizes, floats };
}

export class Arena {
  /** @throws OutOfDeviceMemory */
  static async create(memory: DeviceMemory, spec: ProgramSpec, calls: readonly PlannedCall[]): Promise<Arena> {
    const places = parameterPlaces(spec.parameters.map(({ size }) => size));
    const { states, values, scratch, images, targets, samples } = arenaBytes(spec, calls);
    const state = {} as Record<StateName, GPUBuffer>;
    for (const [name, bytes] of Object.entries(states)) state[name as StateName] = await memory.allocate(name, bytes);
    return new Arena(spec, places, state, {
      values: await memory.allocate('activations', values),
      scratch: await memory.allocate('scratch memory', scratch),
      images: await memory.allocate('images', images),
      targets: await memory.allocate('targets', targets),
      samples: await memory.allocate('kept samples', samples),
      masks: await memory.allocate('masks', 4),
    });
  }

  private constructor(
    private readonly spec: ProgramSpec,
    readonly places: ParameterPlaces,
    readonly state: Readonly<Record<StateName, GPUBuffer>>,
    readonly buffers: Record<'values' | 'scratch' | 'images' | 'targets' | 'samples' | 'masks', GPUBuffer>,
  ) {}

  /** The memory of a value for a whole chunk. */
  value(index: number): BufferRange {
    const { offset, elementsPerSample, type = 'fp32' } = this.spec.values[index]!;
    const floats = elementsPerSample * this.spec.chunkSamples * (type === 'fp32' ? 1 : 0.5);
    return range(this.buffers.values, offset, floats);
  }

  parameter(state: StateName, index: number): BufferRange {
    const { offsets, sizes } = this.places;
    return range(this.state[state], offsets[index]!, sizes[index]!);
  }

  /** The memory that a dispatch of a call binds. `weights`: the state that its parameters are read from. */
  bound(call: PlannedCall, bound: Bound, weights: 'weights' | 'ema'): BufferRange {
    const { buffers } = this;
    if (bound === 'samples' || bound === 'masks') return whole(buffers[bound]);
    const [kind, name = ''] = bound.split('.');
    if (kind === 'scratch') return this.#scratch(call, name);
    const operand = (kind === 'in' ? call.inputs : call.outputs)[name];
    if (operand === undefined) throw new Error(`${call.instruction.kernel} has no operand ${bound}`);
    if ('param' in operand) return this.parameter(weights, operand.param);
    if ('grad' in operand) return this.parameter('gradients', operand.grad);
    return 'input' in operand ? whole(buffers[operand.input]) : this.value(operand.value);
  }

  #scratch({ instruction, scratch = {} }: PlannedCall, name: string): BufferRange {
    let offset = 0;
    for (const [one, floats] of Object.entries(scratch)) {
      if (one === name) return range(this.buffers.scratch, offset, floats);
      offset += alignedFloats(floats);
    }
    throw new Error(`${instruction.kernel} has no scratch memory ${name}`);
  }
}

const whole = (buffer: GPUBuffer): BufferRange => ({ buffer, offset: 0, size: buffer.size });
const range = (buffer: GPUBuffer, floats: number, size: number): BufferRange => {
  return { buffer, offset: 4 * floats, size: 4 * Math.max(ALIGNMENT_FLOATS, alignedFloats(Math.ceil(size))) };
};
