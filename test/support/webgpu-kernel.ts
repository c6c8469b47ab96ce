/** Runs one kernel of the WebGPU executor on the software adapter, with arrays of the host. */

import type { HalfType } from '#engine/native/program-spec.js';
import { ALIGNMENT, type BufferRange, bindGroup, Pipelines } from '#engine/webgpu/bindings.js';
import { CALL_BYTES, type CallWords, writeCallWords } from '#engine/webgpu/call-words.js';
import { F16_FEATURE, type OpenDevice, openDevice } from '#engine/webgpu/device.js';
import { kernelFor } from '#engine/webgpu/kernels/index.js';
import type { Bound, DeviceCall, DeviceOperand, OperandReference } from '#engine/webgpu/kernels/kernel.js';
import { DROPPED } from '#engine/webgpu/kernels/shared.js';
import type { Tiles } from '#engine/webgpu/kernels/tile-shapes.js';
import { float16ToFloat32, float32ToFloat16 } from '#interchange/half-floats.js';
import { type KernelName, kernelOperands } from '#native/kernel-operands.js';
import { keepThreshold, seedKey } from '#random/philox.js';
import { bf16 } from './float64-program.js';

/** The adapter of tests: lavapipe, unless the machine's own is named. */
export const testAdapter = process.env.DROPSTREAM_GPU ?? 'llvmpipe';

/** Why tests on WebGPU are skipped here; false if they can run. */
export const { noWebgpu, noF16 } = await openDevice(testAdapter).then(
  ({ adapter, close }): Record<'noWebgpu' | 'noF16', string | false> => {
    close();
    return { noWebgpu: false, noF16: adapter.features.includes(F16_FEATURE) ? false : `no WebGPU with f16: ${adapter.name} lacks it` };
  },
  ({ message }: Error) => ({ noWebgpu: `no WebGPU: ${message}`, noF16: `no WebGPU: ${message}` }),
);

export interface KernelRun {
  kernel: KernelName;
  attributes: Record<string, number>;
  /** Values of every input that is present, by its name in kernels.def. */
  inputs: Record<string, Float32Array>;
  /** Every output that is present: its number of floats, or what is in it before (gradients are added to). */
  outputs: Record<string, number | Float32Array>;
  /** Operands that are stored as halves: inputs are rounded when they are uploaded. */
  halves?: readonly OperandReference[];
  /** The type of halves. Default bf16. */
  half?: HalfType;
  /** Input in whose memory `y` is. */
  inPlace?: string;
  /** Samples of the call's domain. */
  n: number;
  /** Samples of the chunk. Default n. */
  samples?: number;
  /** Largest number of samples of a chunk. Default `samples`. */
  chunkSamples?: number;
  /** Places in the chunk of the samples of the domain. Default 0 … n − 1. */
  positions?: readonly number[];
  /** Places in the chunk of the samples that attribute `path` keeps. Default `positions`. */
  kept?: readonly number[];
  pathRate?: number;
  lossScale?: number;
  /** The chosen tiles of products. */
  tiles?: Tiles;
  /** Present if the call has a dropout site. `mask`: explicit, one byte per element of every sample of the chunk; 0 is dropped. */
  dropout?: { rate: number; site?: number; siteElements: number; seed?: bigint; step?: number; firstSample?: number; mask?: Uint8Array };
}

let opened: Promise<OpenDevice> | undefined;
let pipelines: Pipelines | undefined;

/** Closes the device; call it in `after`, or the process does not end. */
export async function closeTestDevice(): Promise<void> {
  const device = await opened;
  opened = undefined;
  pipelines = undefined;
  device?.close();
}

/** Returns every output. */
export async function runKernel(run: KernelRun): Promise<Record<string, Float32Array>> {
  opened ??= openDevice(testAdapter);
  const { device } = await opened;
  pipelines ??= new Pipelines(device);
  const errors: string[] = [];
  device.onuncapturederror = ({ error }) => void errors.push(error.message);
  const owned: GPUBuffer[] = [];
  const buffer = (data: Float32Array | Uint32Array | number): BufferRange => {
    const floats = typeof data === 'number' ? data : data.length;
    const size = Math.max(1, Math.ceil(floats / 64)) * 256;
    const made = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
    owned.push(made);
    device.queue.writeBuffer(made, 0, new Uint32Array(size / 4).fill(0x7fc00000)); // what nobody wrote is NaN
    if (typeof data !== 'number') device.queue.writeBuffer(made, 0, data);
    return { buffer: made, offset: 0, size };
  };

  const { n, samples = n, chunkSamples = samples, attributes, dropout, tiles } = run;
  const ranges = new Map<string, BufferRange>();
  const call: DeviceCall = {
    kernel: run.kernel,
    attributes,
    ...operandsOf(run),
    draws: dropout !== undefined,
    chunkSamples,
    ...(tiles && { tiles }),
  };
  for (const [name, values] of Object.entries(run.inputs))
    ranges.set(`in.${name}`, buffer(isHalf(run, `in.${name}`) ? words(values, run.half) : values));
  for (const [name, values] of Object.entries(run.outputs)) {
    const shared = name === 'y' && run.inPlace !== undefined ? ranges.get(`in.${run.inPlace}`) : undefined;
    ranges.set(`out.${name}`, shared ?? buffer(values));
  }

  const { dispatches, scratch = {} } = kernelFor(run.kernel)(call);
  for (const [name, floats] of Object.entries(scratch)) ranges.set(`scratch.${name}`, buffer(floats));
  const positions = run.positions ?? Array.from({ length: n }, (_, i) => i);
  const kept = run.kept ?? positions;
  const slots = Array.from({ length: samples }, (_, s) => (kept.includes(s) ? kept.indexOf(s) : DROPPED));
  ranges.set('samples', buffer(Uint32Array.from([...positions, ...slots])));
  ranges.set('masks', buffer(dropout?.mask === undefined ? 1 : bitsOf(dropout.mask)));
  const uniformWords = new ArrayBuffer(ALIGNMENT * dispatches.length);
  for (const [at, { sizes = [] }] of dispatches.entries())
    writeCallWords(uniformWords, ALIGNMENT * at, { ...callWords(run, samples), sizes });
  const uniform = device.createBuffer({ size: ALIGNMENT * dispatches.length, usage: UNIFORM | COPY_DST });
  owned.push(uniform);
  device.queue.writeBuffer(uniform, 0, uniformWords);

  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const [at, dispatch] of dispatches.entries()) {
    const { pipeline, layout } = await pipelines.of(dispatch);
    const find = (bound: Bound): BufferRange => {
      const range = ranges.get(bound);
      if (range === undefined) throw new Error(`${dispatch.label}: ${bound} is not bound`);
      return range;
    };
    const groups = dispatch.workgroups(n);
    if (groups.includes(0)) continue;
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup(device, dispatch, layout, { buffer: uniform, offset: 0, size: CALL_BYTES }, find), [ALIGNMENT * at]);
    pass.dispatchWorkgroups(...groups);
  }
  pass.end();
  device.queue.submit([encoder.finish()]);

  const results: Record<string, Float32Array> = {};
  for (const [name, before] of Object.entries(run.outputs)) {
    const floats = typeof before === 'number' ? before : before.length;
    const half = isHalf(run, `out.${name}`);
    const read = await readBack(device, ranges.get(`out.${name}`) as BufferRange, half ? Math.ceil(floats / 2) : floats);
    results[name] = half ? elements(read, run.half).subarray(0, floats) : read;
  }
  for (const one of owned) one.destroy();
  if (errors.length > 0) throw new Error(`${run.kernel}: ${errors.join('; ')}`);
  return results;
}

const isHalf = ({ halves }: KernelRun, operand: OperandReference) => halves?.includes(operand) === true;

/** Two halves a word, the first in the lower half. */
function words(values: Float32Array, half: HalfType = 'bf16'): Uint32Array {
  const stored = new Uint32Array(Math.ceil(values.length / 2));
  const bits = new Uint16Array(stored.buffer);
  if (half === 'f16') bits.set(float32ToFloat16(values));
  else bits.set(new Uint32Array(Float32Array.from(values, bf16).buffer).map((word) => word >>> 16));
  return stored;
}

function elements(read: Float32Array, half: HalfType = 'bf16'): Float32Array {
  const bits = new Uint16Array(read.buffer, read.byteOffset, 2 * read.length);
  return half === 'f16' ? float16ToFloat32(bits) : new Float32Array(Uint32Array.from(bits, (word) => word << 16).buffer);
}

function operandsOf(run: KernelRun): Pick<DeviceCall, 'inputs' | 'outputs'> {
  const { kernel, inputs, outputs, inPlace } = run;
  const typeOf = (operand: OperandReference) => (isHalf(run, operand) ? (run.half ?? 'bf16') : 'fp32');
  const slots = kernelOperands[kernel];
  const memory = (name: string, gradient: boolean): DeviceOperand['memory'] => {
    if (gradient) return 'gradient';
    if (name === 'images' || name === 'targets') return 'batch';
    return /^(weight|bias|token|positions|gamma|table)$/.test(name) ? 'parameter' : 'value';
  };
  const inputOperands = Object.keys(inputs).map((name): [string, DeviceOperand] => {
    if (!slots.inputs.some((slot) => slot.name === name)) throw new Error(`${kernel} has no input ${name}`);
    return [name, { type: typeOf(`in.${name}`), memory: memory(name, false), place: `in.${name}` }];
  });
  const outputOperands = Object.keys(outputs).map((name): [string, DeviceOperand] => {
    const slot = slots.outputs.find((one) => one.name === name);
    if (slot === undefined) throw new Error(`${kernel} has no output ${name}`);
    const place = name === 'y' && inPlace !== undefined ? `in.${inPlace}` : `out.${name}`;
    return [name, { type: typeOf(`out.${name}`), memory: slot.gradient ? 'gradient' : 'value', place }];
  });
  return { inputs: Object.fromEntries(inputOperands), outputs: Object.fromEntries(outputOperands) };
}

function callWords({ n, dropout, pathRate = 0, lossScale = 1 }: KernelRun, samples: number): Omit<CallWords, 'sizes'> {
  const { rate = 0, site = 0, siteElements = 0, seed = 0n, step = 0, firstSample = 0, mask } = dropout ?? {};
  const { k0, k1 } = seedKey(seed);
  return {
    n,
    samples,
    firstSample,
    positionsAt: 0,
    slotsAt: n,
    pathScale: 1 / (1 - pathRate),
    lossScale,
    seedLow: k0,
    seedHigh: k1,
    step,
    site,
    dropping: mask !== undefined ? 2 : keepThreshold(rate) < 2 ** 32 ? 1 : 0,
    threshold: keepThreshold(rate),
    dropScale: 1 / (1 - rate),
    maskAt: 0,
    siteElements,
  };
}

function bitsOf(mask: Uint8Array): Uint32Array {
  const words = new Uint32Array(Math.ceil(mask.length / 32));
  mask.forEach((kept, i) => {
    if (kept !== 0) words[i >> 5]! |= 1 << (i & 31);
  });
  return words;
}

async function readBack(device: GPUDevice, { buffer, offset }: BufferRange, floats: number): Promise<Float32Array> {
  const size = Math.max(4, floats * 4);
  const staging = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const values = new Float32Array(staging.getMappedRange().slice(0)).subarray(0, floats);
  staging.destroy();
  return values;
}

// GPUBufferUsage, which exists only after Dawn was loaded.
const [MAP_READ, COPY_SRC, COPY_DST, UNIFORM, STORAGE] = [0x1, 0x4, 0x8, 0x40, 0x80];
