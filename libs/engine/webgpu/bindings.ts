/** Pipelines of dispatches, cached by their code, and the bind groups that give them memory. */
import type { Bound, Dispatch } from './kernels/kernel.js';

export interface BufferRange {
  buffer: GPUBuffer;
  /** In bytes, a multiple of 256. */
  offset: number;
  /** In bytes, a multiple of 4. */
  size: number;
}

/** WebGPU's least alignment of a binding, in bytes. */
export const ALIGNMENT = 256;

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class Pipelines {
  readonly #made = new Map<string, Promise<Pipeline>>();

  constructor(private readonly device: GPUDevice) {}

  get count(): number {
    return this.#made.size;
  }

  /** Compiles the shader unless there is one with the same code already. Shaders compile in parallel. */
  of(dispatch: Dispatch): Promise<Pipeline> {
    let made = this.#made.get(dispatch.code);
    if (made === undefined) {
      made = this.#compile(dispatch);
      this.#made.set(dispatch.code, made);
    }
    return made;
  }

  async #compile({ label, code, bindings }: Dispatch): Promise<Pipeline> {
    const { device } = this;
    const layout = device.createBindGroupLayout({
      label,
      entries: [
        { binding: 0, visibility: COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } },
        ...bindings.map(({ access }, at): GPUBindGroupLayoutEntry => {
          return { binding: at + 1, visibility: COMPUTE, buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' } };
        }),
      ],
    });
    const module = device.createShaderModule({ label, code });
    try {
      const pipeline = await device.createComputePipelineAsync({
        label,
        layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
      });
      return { pipeline, layout };
    } catch (error) {
      const { messages } = await module.getCompilationInfo();
      const said = messages.map(({ lineNum, message }) => `line ${lineNum}: ${message}`).join('; ');
      throw new Error(`the shader ${label} does not compile: ${said || (error as Error).message}`, { cause: error });
    }
  }
}

/** A bind group of a dispatch; `call` is the buffer of the uniforms, chosen by a dynamic offset. */
export function bindGroup(
  device: GPUDevice,
  { label, bindings }: Dispatch,
  layout: GPUBindGroupLayout,
  call: BufferRange,
  rangeOf: (bound: Bound) => BufferRange,
): GPUBindGroup {
  return device.createBindGroup({
    label,
    layout,
    entries: [
      { binding: 0, resource: call },
      ...bindings.map(({ bound }, at): GPUBindGroupEntry => ({ binding: at + 1, resource: rangeOf(bound) })),
    ],
  });
}

// The globals of WebGPU exist only after Dawn was loaded.
const COMPUTE = 4;
