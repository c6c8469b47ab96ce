/** Memory for one kind of product, and runs of it. */
import type { ElementType } from '../../native/program-spec.js';
import { type DeviceMemory, MAP_MODE_READ, OutOfDeviceMemory, USAGE } from '../arena.js';
import { ALIGNMENT, bindGroup, type Pipeline, Pipelines } from '../bindings.js';
import { CALL_BYTES, writeCallWords } from '../call-words.js';
import { kernelFor } from '../kernels/index.js';
import type { Bound, Dispatch } from '../kernels/kernel.js';
import { LARGE, type TiledProduct, type TileName } from '../kernels/tile-shapes.js';
import { LESS_MEMORY } from '../needs.js';
import { unbroken } from '../unbroken.js';
import { type ProductOperand, type ProductShape, productCall } from './product-call.js';

export interface PreparedProduct {
  dispatches: readonly { dispatch: Dispatch; pipeline: Pipeline; group: GPUBindGroup }[];
  samples: number;
  result: ProductOperand;
}

/** Floats of a result that are compared. */
const COMPARED = 1 << 16;
/** Bytes that are written at a time. */
const PIECE = 4 << 20;

export class ProductRunner {
  readonly #pipelines: Pipelines;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #uniforms: GPUBuffer[] = [];
  #errors: string[] = [];

  /** Memory for the largest of the shapes; inputs are filled with numbers from -1 to 1. @throws OutOfDeviceMemory */
  static async create(
    device: GPUDevice,
    memory: DeviceMemory,
    product: TiledProduct,
    type: ElementType,
    shapes: readonly ProductShape[],
  ): Promise<ProductRunner> {
    const runner = new ProductRunner(device, memory, product, type);
    try {
      for (const [name, bytes] of runner.#bytes(shapes)) {
        if (bytes > device.limits.maxStorageBufferBindingSize)
          throw new OutOfDeviceMemory(
            `a product takes ${Math.ceil(bytes / 2 ** 20)} MB, which no shader of the GPU can bind; ${LESS_MEMORY}`,
          );
        const buffer = await memory.allocate(name, bytes);
        runner.#buffers.set(name, buffer);
        if (name.startsWith('in.')) fill(device, buffer, name === 'in.weight' ? 'fp32' : type);
      }
      return runner;
    } catch (error) {
      runner.free();
      throw error;
    }
  }

  private constructor(
    private readonly device: GPUDevice,
    private readonly memory: DeviceMemory,
    private readonly product: TiledProduct,
    private readonly type: ElementType,
  ) {
    this.#pipelines = new Pipelines(device);
    device.onuncapturederror = ({ error }) => void this.#errors.push(error.message);
  }

  /** Compiles the product. @throws Error if it does not compile */
  async prepare(shape: ProductShape, tile: TileName): Promise<PreparedProduct> {
    const { call, operands } = productCall(this.product, this.type, shape, tile);
    const { dispatches } = kernelFor(this.product)(call);
    const pipelines = await Promise.all(dispatches.map((dispatch) => this.#pipelines.of(dispatch)));
    const uniform = await this.memory.allocate('uniforms', ALIGNMENT * dispatches.length, USAGE.UNIFORM | USAGE.COPY_DST);
    this.#uniforms.push(uniform);
    const words = new ArrayBuffer(ALIGNMENT * dispatches.length);
    for (const [at, { sizes = [] }] of dispatches.entries()) writeCallWords(words, ALIGNMENT * at, { ...plainWords(shape.samples), sizes });
    this.device.queue.writeBuffer(uniform, 0, words);
    const whole = (bound: Bound) => {
      const buffer = this.#buffers.get(bound)!;
      return { buffer, offset: 0, size: buffer.size };
    };
    const first = { buffer: uniform, offset: 0, size: CALL_BYTES };
    return {
      dispatches: dispatches.map((dispatch, at) => {
        const pipeline = pipelines[at]!;
        return { dispatch, pipeline, group: bindGroup(this.device, dispatch, pipeline.layout, first, whole) };
      }),
      samples: shape.samples,
      result: operands.at(-1)!,
    };
  }

  /** Seconds of one run, of so many in one submission. */
  async seconds(product: PreparedProduct, repeats: number): Promise<number> {
    const encoder = this.device.createCommandEncoder();
    this.#encode(encoder, product, repeats);
    const commands = encoder.finish();
    const begun = performance.now();
    this.device.queue.submit([commands]);
    await unbroken(() => this.device.queue.onSubmittedWorkDone());
    return (performance.now() - begun) / 1000 / repeats;
  }

  /** The first words of what one run makes of zeros, or what the device says against it. */
  async result(product: PreparedProduct): Promise<Float32Array | string> {
    const { reference, elements, type } = product.result;
    const buffer = this.#buffers.get(reference)!;
    const size = 4 * Math.min(COMPARED, type === 'bf16' ? Math.ceil(elements / 2) : elements);
    const staging = await this.memory.allocate('a result', size, USAGE.MAP_READ | USAGE.COPY_DST);
    try {
      this.#errors = [];
      const encoder = this.device.createCommandEncoder();
      encoder.clearBuffer(buffer);
      this.#encode(encoder, product, 1);
      encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
      this.device.queue.submit([encoder.finish()]);
      await unbroken(() => staging.mapAsync(MAP_MODE_READ));
      if (this.#errors.length > 0) return this.#errors.join('; ');
      const words = staging.getMappedRange(0, size);
      return type === 'bf16' ? elementsOf(new Uint32Array(words)) : new Float32Array(words.slice(0));
    } finally {
      this.memory.free(staging);
    }
  }

  free(): void {
    for (const buffer of [...this.#buffers.values(), ...this.#uniforms]) this.memory.free(buffer);
  }

  #encode(encoder: GPUCommandEncoder, { dispatches, samples }: PreparedProduct, repeats: number): void {
    const pass = encoder.beginComputePass();
    for (let repeat = 0; repeat < repeats; repeat++)
      for (const [at, { dispatch, pipeline, group }] of dispatches.entries()) {
        pass.setPipeline(pipeline.pipeline);
        pass.setBindGroup(0, group, [ALIGNMENT * at]);
        pass.dispatchWorkgroups(...dispatch.workgroups(samples));
      }
    pass.end();
  }

  /** The largest memory that any shape needs of each operand. Scratch memory is the same for all tiles. */
  #bytes(shapes: readonly ProductShape[]): Map<string, number> {
    const bytes = new Map<string, number>();
    const grow = (name: string, wanted: number) => bytes.set(name, Math.max(wanted, bytes.get(name) ?? 0));
    for (const shape of shapes) {
      const { call, operands } = productCall(this.product, this.type, shape, LARGE);
      for (const { reference, elements, type } of operands) grow(reference, elements * (type === 'bf16' ? 2 : 4));
      const { scratch = {} } = kernelFor(this.product)(call);
      for (const [name, floats] of Object.entries(scratch)) grow(`scratch.${name}`, 4 * floats);
    }
    return bytes;
  }
}

/** Whether the results of two tiles differ by more than the roundings of their sums. */
export function differs(wanted: Float32Array, found: Float32Array, type: ElementType): boolean {
  let [off, all] = [0, 0];
  for (const [i, value] of wanted.entries()) {
    off += (found[i]! - value) ** 2;
    all += value ** 2;
  }
  // Written so that a value that is not a number differs.
  return !(Math.sqrt(off) <= (type === 'bf16' ? 1e-2 : 1e-4) * Math.sqrt(all));
}

/** Numbers whose upper halves, as bf16, are from -1 to 1 too. */
function fill(device: GPUDevice, buffer: GPUBuffer, type: ElementType): void {
  const floats = Float32Array.from({ length: Math.min(PIECE, buffer.size) / 4 }, (_, i) => Math.sin(i * 12.9898 + (i % 97)));
  const words = new Uint32Array(floats.buffer);
  if (type === 'bf16') for (const [i, word] of words.entries()) words[i] = (word & 0xffff0000) | (words[(i + 1) % words.length]! >>> 16);
  for (let at = 0; at < buffer.size; at += PIECE) device.queue.writeBuffer(buffer, at, words, 0, Math.min(PIECE, buffer.size - at) / 4);
}

const elementsOf = (words: Uint32Array): Float32Array => {
  const bits = new Uint32Array(2 * words.length);
  for (const [i, word] of words.entries()) {
    bits[2 * i] = word << 16;
    bits[2 * i + 1] = word & 0xffff0000;
  }
  return new Float32Array(bits.buffer);
};

/** A call without randomness. */
const plainWords = (samples: number) => ({
  ...{ n: samples, samples, firstSample: 0, positionsAt: 0, slotsAt: 0, pathScale: 1, lossScale: 1, seedLow: 0, seedHigh: 0, step: 0 },
  ...{ site: 0, dropping: 0 as const, threshold: 0, dropScale: 1, maskAt: 0, siteElements: 0 },
});
