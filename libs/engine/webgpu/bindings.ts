/** Pipelines of dispatches, cached by their code, and the bind groups that give them memory. */
import { unbroken } from './unbroken.js';

/** A shader with its bindings from 1 on; binding 0 is a uniform. */
export interface Shader<Bound extends string = string> {
  label: string;
  code: string;
  bindings: readonly { bound: Bound; access: 'read' | 'read_write' }[];
}

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
  of(shader: Shader): Promise<Pipeline> {
    let made = this.#made.get(shader.code);
    if (made === undefined) {
      made = this.#compile(shader);
      this.#made.set(shader.code, made);
    }
    return made;
  }

  async #compile({ label, code, bindings }: Shader): Promise<Pipeline> {
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
      const pipelineLayout = device.createPipelineLayout({ label, bindGroupLayouts: [layout] });
      const compute = { module, entryPoint: 'main' };
      const pipeline = await unbroken(() => device.createComputePipelineAsync({ label, layout: pipelineLayout, compute }));
      return { pipeline, layout };
    } catch (error) {
      const { messages } = await unbroken(() => module.getCompilationInfo());
      const said = messages.map(({ lineNum, message }) => `line ${lineNum}: ${message}`).join('; ');
      throw new Error(`the shader ${label} does not compile: ${said || (error as Error).message}`, { cause: error });
    }
  }
}

/** A bind group of a shader; the uniform has a dynamic offset. */
export function bindGroup<Bound extends string>(
  device: GPUDevice,
  { label, bindings }: Shader<Bound>,
  layout: GPUBindGroupLayout,
  uniform: BufferRange,
  rangeOf: (bound: Bound) => BufferRange,
): GPUBindGroup {
  return device.createBindGroup({
    label,
    layout,
    entries: [
      { binding: 0, resource: uniform },
      ...bindings.map(({ bound }, at): GPUBindGroupEntry => ({ binding: at + 1, resource: rangeOf(bound) })),
    ],
  });
}

// The globals of WebGPU exist only after Dawn was loaded.
const COMPUTE = 4;
