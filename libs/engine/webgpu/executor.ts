import { inTurns, type Pieces } from '#bounds/pieces.js';
import type { Graph } from '#graph/graph.js';
import { type Executor, ExecutorUnavailable } from '../executor.js';
import { digest } from '../fingerprint.js';
import { type LowerOptions, lowerInPieces } from '../native/lower.js';
import { loweringDigest } from '../native/lowering-digest.js';
import type { ProgramSpec } from '../native/program-spec.js';
import { ALIGNMENT_FLOATS, planCalls } from './calls.js';
import type { AdapterDescription } from './device.js';
import { describeAdapter } from './device-thread.js';
import { finishShader } from './finishing.js';
import { WebgpuProgram } from './program.js';

/** The adapters that this process has asked for, by the name wanted. */
const adapters = new Map<string | undefined, Promise<AdapterDescription>>();

function adapter(): Promise<AdapterDescription> {
  const wanted = process.env.DROPSTREAM_GPU;
  let found = adapters.get(wanted);
  if (found === undefined) {
    found = describeAdapter(wanted);
    adapters.set(wanted, found);
    // A driver may be installed while the process runs.
    found.catch(() => adapters.delete(wanted));
  }
  return found;
}

/** Runs a graph on the GPU by WebGPU. */
export const webgpuExecutor: Executor = {
  async prepare(graph, samples, options) {
    const { name, driver, dawn } = await adapter();
    const spec = await inTurns(lowerForDevice(graph, samples, options));
    const build = `webgpu ${dawn} ${await inTurns(kernelDigest(spec))}`;
    return {
      fingerprint: { executor: 'webgpu', kernelPath: `${name} ${driver}`, build },
      gpu: { adapter: name, driver, runtime: `webgpu ${dawn}` },
      create: () => WebgpuProgram.create(spec),
    };
  },
  async missing() {
    try {
      await adapter();
      return undefined;
    } catch (error) {
      if (error instanceof ExecutorUnavailable) return error.reason;
      throw error;
    }
  },
  async describe() {
    const { name, driver, dawn, software, limits } = await adapter();
    const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MB`;
    const where = software ? ', which computes on the CPU' : '';
    const most = `buffers up to ${megabytes(limits.bufferBytes)}, ${limits.workgroupBytes / 1024} KB of workgroup memory`;
    return `${name}${where} (${driver}); ${most}; webgpu ${dawn}`;
  },
};

function* lowerForDevice(graph: Graph, samples: number, options: LowerOptions): Pieces<ProgramSpec> {
  return yield* lowerInPieces(graph, samples, { ...options, alignmentFloats: ALIGNMENT_FLOATS });
}

/** Digest of the program's calls, and of the shaders that compute them and that finish images. */
function* kernelDigest(spec: ProgramSpec): Pieces<string> {
  const shaders = new Set<string>();
  for (const pass of [spec.forward, spec.backward]) {
    for (const { dispatches } of yield* planCalls(spec, pass)) for (const { code } of dispatches) shaders.add(code);
  }
  shaders.add(finishShader.code);
  return digest([yield* loweringDigest(spec), [...shaders]]);
}
