/** Images on the device as bytes: their memory, which is used again, and the pass that finishes those of a chunk. */
import type { ProgramSpec } from '../native/program-spec.js';
import { type DeviceMemory, USAGE } from './arena.js';
import { ALIGNMENT, type BufferRange, bindGroup, type Pipeline, type Pipelines } from './bindings.js';
import { partnerOf } from './finish-words.js';
import { type FinishBound, finishGroups, finishShader, PASS_BYTES, passWords } from './finishing.js';
import { mostPageBytes, pagesOf, rowsPerPage } from './staged-pages.js';

/** A part of the images of one micro-batch. The first part comes with the words of the plan. */
export interface StagedPart {
  batch: number;
  samples: number;
  words?: Uint32Array;
  /** Place of the bytes among those of the batch; a multiple of 4, as is their number. */
  at: number;
  data: ArrayBuffer;
}

interface Memory {
  /** All images, each page within what one binding may hold. */
  pages: GPUBuffer[];
  plan: GPUBuffer;
  /** By the page of the rows and that of their partners. */
  groups: Map<string, GPUBindGroup>;
}

interface Batch {
  memory: Memory;
  words: Uint32Array;
}

export class StagedImagesOnDevice {
  readonly #batches = new Map<number, Batch>();
  /** Memory of released batches. */
  readonly #spare: Memory[] = [];
  readonly #size: number;
  readonly #rowsPerPage: number;
  #uniforms: GPUBuffer | undefined;
  #pipeline: Pipeline | undefined;

  constructor(
    private readonly device: GPUDevice,
    private readonly memory: DeviceMemory,
    private readonly pipelines: Pipelines,
    private readonly spec: Pick<ProgramSpec, 'imageFloats' | 'chunkSamples'>,
    /** Where the finished images of a chunk go. */
    private readonly images: GPUBuffer,
    /** Most bytes of a page. */
    most = mostPageBytes({ bindingBytes: device.limits.maxStorageBufferBindingSize, bufferBytes: device.limits.maxBufferSize }),
  ) {
    this.#size = sizeOf(spec);
    this.#rowsPerPage = rowsPerPage(spec.imageFloats, most);
  }

  /** Queues the copy of a part behind what the device has been given to do. @throws OutOfDeviceMemory */
  async write({ batch, samples, words, at, data }: StagedPart): Promise<void> {
    if (words !== undefined) {
      await this.#prepare();
      const memory = await this.#take(samples, words.length);
      this.#batches.set(batch, { memory, words });
      this.device.queue.writeBuffer(memory.plan, 0, words);
    }
    const pageBytes = this.#rowsPerPage * this.spec.imageFloats;
    const { pages } = this.#find(batch).memory;
    for (let done = 0; done < data.byteLength; ) {
      const [page, offset] = [Math.floor((at + done) / pageBytes), (at + done) % pageBytes];
      const bytes = Math.min(data.byteLength - done, pageBytes - offset);
      this.device.queue.writeBuffer(pages[page]!, offset, data, done, bytes);
      done += bytes;
    }
  }

  release(batch: number): void {
    const released = this.#batches.get(batch);
    if (released === undefined) return;
    this.#batches.delete(batch);
    this.#spare.push(released.memory);
  }

  /** Lets a chunk begin with finishing rows [first, first + samples) of a batch. */
  finish(encoder: GPUCommandEncoder, batch: number, first: number, samples: number, descriptor?: GPUComputePassDescriptor): void {
    const { memory, words } = this.#find(batch);
    const pageOf = (row: number) => Math.floor(row / this.#rowsPerPage);
    const pairs = new Map<string, [own: number, partner: number]>();
    for (let row = first; row < first + samples; row++) {
      const [own, partner] = [pageOf(row), pageOf(partnerOf(words, row))];
      pairs.set(`${own} ${partner}`, [own, partner]);
    }
    const uniforms = new Uint8Array(ALIGNMENT * pairs.size);
    const pass = encoder.beginComputePass(descriptor);
    pass.setPipeline(this.#pipeline!.pipeline);
    for (const [index, [key, [ownPage, partnerPage]]] of [...pairs].entries()) {
      const own = passWords({ first, rowsPerPage: this.#rowsPerPage, ownPage, partnerPage, size: this.#size });
      uniforms.set(new Uint8Array(own.buffer), ALIGNMENT * index);
      pass.setBindGroup(0, this.#group(memory, key, ownPage, partnerPage), [ALIGNMENT * index]);
      const [x, y] = finishGroups(this.spec.imageFloats, samples);
      pass.dispatchWorkgroups(x, y);
    }
    pass.end();
    this.device.queue.writeBuffer(this.#uniforms!, 0, uniforms);
  }

  /** Most programs of tests take finished images only, so this is done when images first come as bytes. */
  async #prepare(): Promise<void> {
    this.#pipeline ??= await this.pipelines.of(finishShader);
    this.#uniforms ??= await this.memory.allocate('finishing uniforms', ALIGNMENT * this.spec.chunkSamples, USAGE.UNIFORM | USAGE.COPY_DST);
  }

  async #take(samples: number, words: number): Promise<Memory> {
    const sizes = pagesOf(samples, this.spec.imageFloats, this.#rowsPerPage);
    const spare = this.#spare.pop();
    if (spare !== undefined) {
      const fits = sizes.every((bytes, page) => (spare.pages[page]?.size ?? 0) >= bytes) && spare.plan.size >= 4 * words;
      if (fits) return spare;
      for (const buffer of [...spare.pages, spare.plan]) this.memory.free(buffer);
    }
    const pages: GPUBuffer[] = [];
    for (const bytes of sizes) pages.push(await this.memory.allocate('images to finish', bytes, USAGE.STORAGE | USAGE.COPY_DST));
    // The number of erase boxes changes from batch to batch.
    const plan = await this.memory.allocate('finishing plan', 2 * 4 * words, USAGE.STORAGE | USAGE.COPY_DST);
    return { pages, plan, groups: new Map() };
  }

  #group({ pages, plan, groups }: Memory, key: string, own: number, partner: number): GPUBindGroup {
    let group = groups.get(key);
    if (group === undefined) {
      const whole = (buffer: GPUBuffer): BufferRange => ({ buffer, offset: 0, size: buffer.size });
      const ranges: Record<FinishBound, BufferRange> = {
        own: whole(pages[own]!),
        partners: whole(pages[partner]!),
        plan: whole(plan),
        images: whole(this.images),
      };
      const uniform = { buffer: this.#uniforms!, offset: 0, size: PASS_BYTES };
      group = bindGroup(this.device, finishShader, this.#pipeline!.layout, uniform, (bound) => ranges[bound]);
      groups.set(key, group);
    }
    return group;
  }

  #find(batch: number): Batch {
    const found = this.#batches.get(batch);
    if (found === undefined) throw new RangeError('the images of a micro-batch were released before it was used');
    return found;
  }
}

/** The side of the program's images, which are square and have three channels. */
const sizeOf = ({ imageFloats }: Pick<ProgramSpec, 'imageFloats'>): number => Math.sqrt(imageFloats / 3);
