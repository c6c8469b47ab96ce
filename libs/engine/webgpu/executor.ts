import { inTurns, type Pieces } from '#bounds/pieces.js';
import type { Graph } from '#graph/graph.js';
import { type Executor, ExecutorUnavailable, type PrepareOptions } from '../executor.js';
import { digest } from '../fingerprint.js';
import { lowerInPieces } from '../native/lower.js';
import { loweringDigest } from '../native/lowering-digest.js';
import type { ProgramSpec } from '../native/program-spec.js';
import { adapterHere } from './adapters.js';
import { ALIGNMENT_FLOATS, type PlannedCall, planCalls } from './calls.js';
import { type AdapterDescription, F16_FEATURE } from './device.js';
import { finishShader } from './finishing.js';
import type { Tiles } from './kernels/tile-shapes.js';
import { type Lack, lackOf, lackOfPrecision, type Needs, needsOf } from './needs.js';
import { updateShaders } from './optimizer.js';
import { WebgpuProgram } from './program.js';
import { settings } from './settings.js';
import { describeAdapter } from './start-device.js';
import { tunedTiles, tuningState } from './tuning/tiles-here.js';
import { tilesOf, wordsOfTiles } from './tuning/tiles-in-fingerprint.js';

/** The most buffers that a shader of any model binds: the gradient of window attention with dropout. */
export const MOST_BINDINGS = 10;
/** A device that has less memory cannot train anything: it is not asked. */
const ALWAYS_THERE_BYTES = 256 * 2 ** 20;

/** Runs a graph on the GPU by WebGPU. */
export const webgpuExecutor: Executor = {
  async prepare(graph, samples, options) {
    const adapter = await adapterHere();
    const lacking = lackOfPrecision(options.precision, adapter);
    if (lacking !== undefined) throw new ExecutorUnavailable('webgpu', lacking);
    const { name, driver, dawn } = adapter;
    const tiles = (options.like !== undefined && tilesOf(options.like, adapter)) || tunedTiles(adapter);
    const { spec, calls } = await fittingPlan(graph, samples, { ...options, tiles }, adapter);
    const build = `webgpu ${dawn}${wordsOfTiles(spec, calls, tiles)} ${await inTurns(kernelDigest(spec, calls))}`;
    return {
      fingerprint: { executor: 'webgpu', kernelPath: `${name} ${driver}`, build },
      samples: spec.chunkSamples,
      gpu: { adapter: name, driver, runtime: `webgpu ${dawn}` },
      create: () => WebgpuProgram.create(spec, adapter, tiles),
    };
  },
  async missing() {
    try {
      await adapterHere();
      return undefined;
    } catch (error) {
      if (error instanceof ExecutorUnavailable) return error.reason;
      throw error;
    }
  },
  async describe() {
    const adapter = await adapterHere();
    const { name, driver, dawn, software, features, limits } = adapter;
    const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MB`;
    const where = software ? ', which computes on the CPU' : '';
    const most = `buffers up to ${megabytes(limits.bufferBytes)}, ${limits.workgroupBytes / 1024} KB of workgroup memory`;
    const few = `; a shader binds ${limits.storageBuffers} buffers, but some models need ${MOST_BINDINGS}`;
    return `${name}${where} (${driver}); ${most}${limits.storageBuffers < MOST_BINDINGS ? few : ''}; ${features.includes(F16_FEATURE) ? 'has' : 'lacks'} f16; webgpu ${dawn}; ${tuningState(adapter)}`;
  },
};

interface PlanOptions extends PrepareOptions {
  tiles: Tiles;
}

interface Plan {
  spec: ProgramSpec;
  /** Those of both passes. */
  calls: readonly PlannedCall[];
}

/** The plan with the largest chunk, of `samples` halved any number of times, that fits into the device. @throws ExecutorUnavailable */
async function fittingPlan(graph: Graph, samples: number, options: PlanOptions, adapter: AdapterDescription): Promise<Plan> {
  for (let chunk = samples; ; chunk = Math.ceil(chunk / 2)) {
    const plan = await inTurns(planFor(graph, chunk, options));
    const lack = await lackHere(needsOf(plan.spec, plan.calls, options.held, adapter.limits), adapter);
    if (lack === undefined) return plan;
    if (!lack.ofMemory || chunk === 1) throw new ExecutorUnavailable('webgpu', lack.reason);
  }
}

/** What the device lacks. Nothing tells how much memory a device has left, so it is asked for it. */
async function lackHere(needs: Needs, adapter: AdapterDescription): Promise<Lack | undefined> {
  const lack = lackOf(needs, adapter, settings().memoryBytes);
  if (lack !== undefined || needs.bytes <= ALWAYS_THERE_BYTES) return lack;
  const { granted } = await describeAdapter(needs.buffers.map(({ bytes }) => bytes));
  const reason = `the program takes ${Math.ceil(needs.bytes / 2 ** 20)} MB, which ${adapter.name} does not have free; end other programs on it, or train a smaller model, smaller images or smaller batches`;
  return granted ? undefined : { reason, ofMemory: true };
}

function* planFor(graph: Graph, samples: number, options: PlanOptions): Pieces<Plan> {
  const { tiles } = options;
  const spec = yield* lowerInPieces(graph, samples, { ...options, alignmentFloats: ALIGNMENT_FLOATS });
  return { spec, calls: [...(yield* planCalls(spec, spec.forward, tiles)), ...(yield* planCalls(spec, spec.backward, tiles))] };
}

/** Digest of the program's calls, and of the shaders that compute them, that finish images and that update weights. */
function* kernelDigest(spec: ProgramSpec, calls: readonly PlannedCall[]): Pieces<string> {
  const shaders = new Set(calls.flatMap(({ dispatches }) => dispatches.map(({ code }) => code)));
  for (const code of [finishShader.code, ...updateShaders]) shaders.add(code);
  return digest([yield* loweringDigest(spec), [...shaders]]);
}
