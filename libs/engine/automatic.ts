/**
 * Chooses the engine of `--engine auto`: WebGPU where it computes what the native engine computes, and does it faster; otherwise native. Adapters that
 * compute on the CPU are only considered if DROPSTREAM_GPU names one.
 */
import { orAborted } from '#bounds/or-aborted.js';
import { RecentMap } from '#bounds/recent-map.js';
import type { Model } from '#nn/model.js';
import { type CompileOptions, type CompileShapes, type PlannedProgram, planProgram } from './compile.js';
import { type EngineName, type EngineWord, executorOf, lacks } from './engines.js';
import { ExecutorUnavailable } from './executor.js';
import type { Precision } from './precision.js';
import type { OptimizerStep, Program } from './program.js';

export interface ChosenEngine {
  readonly engine: EngineName;
  /** The end of the sentence "It was chosen because …"; empty if it was named. */
  readonly reason: string;
}

/** What an engine made of the same few samples. */
export interface Trial {
  readonly losses: ArrayLike<number>;
  /** Of the samples' gradient; 0 if only an evaluation was tried. */
  readonly gradNorm: number;
  /** Time of a pass after the first. */
  readonly seconds: number;
}

/** An engine that takes longer is not chosen. The shaders of a large model may take most of it. */
const TRIAL_MS = 45_000;
/** Passes that are timed; the fastest counts. */
const PASSES = 3;
const RATE = 0.1;

/** By the numerics of both programs. */
const chosen = new RecentMap<string, ChosenEngine>(64);

/** Plans a program on an engine. @throws ExecutorUnavailable */
type PlanOn = (engine: EngineName) => Promise<PlannedProgram>;

/** Options that the choice depends on besides the program's numerics. */
type ChoiceOptions = Pick<CompileOptions, 'precision' | 'checkpointBlocks' | 'evaluateOnly'>;

/** The program on the engine that was asked for; for `auto`, on the one that is best here. @throws what planProgram throws; the signal's reason */
export async function planOnEngine(
  asked: EngineWord,
  model: Model,
  shapes: CompileShapes,
  options: Omit<CompileOptions, 'executor'>,
  signal: AbortSignal,
): Promise<ChosenEngine & { readonly planned: PlannedProgram }> {
  const plans = new Map<EngineName, Promise<PlannedProgram>>();
  const plan: PlanOn = (engine) => {
    const planned = plans.get(engine) ?? planProgram(model, shapes, { ...options, executor: executorOf(engine) });
    plans.set(engine, planned);
    return planned;
  };
  const chosen = asked === 'auto' ? await chooseEngine(plan, options, signal) : { engine: asked, reason: '' };
  return { ...chosen, planned: await orAborted(plan(chosen.engine), signal) };
}

/** Chooses once for each model, shape and adapter in this process. @throws the signal's reason */
export async function chooseEngine(plan: PlanOn, options: ChoiceOptions, signal: AbortSignal): Promise<ChosenEngine> {
  const { precision = 'fp32', checkpointBlocks = false } = options;
  const native = (reason: string): ChosenEngine => ({ engine: 'native', reason });
  const [lack] = lacks('webgpu', { precision, checkpointBlocks });
  if (lack) return native(`webgpu does not support ${lack.field} ${lack.value}`);
  let plans: Record<'native' | 'webgpu', PlannedProgram>;
  try {
    plans = { webgpu: await orAborted(plan('webgpu'), signal), native: await orAborted(plan('native'), signal) };
  } catch (error) {
    if (error instanceof ExecutorUnavailable) return native(`no GPU can be used: ${error.reason}`);
    throw error;
  }
  const gpu = plans.webgpu.fingerprint.kernelPath;
  const known = JSON.stringify([plans.webgpu.fingerprint, plans.native.fingerprint, options.evaluateOnly]);
  const before = chosen.get(known);
  if (before !== undefined) return before;
  try {
    const trials = {
      webgpu: await tried(plans.webgpu, options, signal),
      native: await tried(plans.native, options, signal),
    };
    const decided = decide(trials, { gpu, precision });
    chosen.set(known, decided);
    return decided;
  } catch (error) {
    signal.throwIfAborted();
    // Not remembered: the memory of the GPU may be free again later.
    const { name, message } = error as Error;
    return native(
      `the GPU ${gpu} could not be tried: ${name === 'TimeoutError' ? `a trial takes longer than ${TRIAL_MS / 1000} s` : message}`,
    );
  }
}

/** The tolerances of golden values for losses, and for the norm of a gradient relative to itself. */
const tolerances: Record<Precision, { readonly loss: number; readonly norm: number }> = {
  fp32: { loss: 1e-3, norm: 1e-2 },
  bf16: { loss: 3e-2, norm: 0.1 },
  f16: { loss: 3e-2, norm: 0.1 },
};

/** What the trials of both engines say. */
export function decide(
  { native, webgpu }: { readonly native: Trial; readonly webgpu: Trial },
  { gpu, precision }: { readonly gpu: string; readonly precision: Precision },
): ChosenEngine {
  const { loss, norm } = tolerances[precision];
  // Written so that a value that is not a number is off.
  const off = Array.from(native.losses).findIndex((value, i) => !(Math.abs(value - (webgpu.losses[i] ?? Number.NaN)) <= loss));
  if (off >= 0) return { engine: 'native', reason: `${gpu} computes a loss of ${webgpu.losses[off]} where ${native.losses[off]} is right` };
  if (!(Math.abs(webgpu.gradNorm - native.gradNorm) <= norm * native.gradNorm)) {
    return { engine: 'native', reason: `${gpu} computes a gradient with a norm of ${webgpu.gradNorm} where ${native.gradNorm} is right` };
  }
  const samples = native.losses.length === 1 ? '1 sample takes' : `${native.losses.length} samples take`;
  const times = `${samples} ${milliseconds(webgpu)} on ${gpu} and ${milliseconds(native)} on the native engine`;
  return { engine: webgpu.seconds < native.seconds ? 'webgpu' : 'native', reason: times };
}

const milliseconds = ({ seconds }: Trial): string => `${(1000 * seconds).toPrecision(3)} ms`;

/** A step of one chunk, or an evaluation if nothing else is asked for. */
async function tried(planned: PlannedProgram, { evaluateOnly = false }: ChoiceOptions, stop: AbortSignal): Promise<Trial> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(TRIAL_MS)]);
  const compiling = planned.create();
  let program: Program | undefined;
  try {
    program = await orAborted(compiling, signal);
    return await orAborted(timedPasses(program, evaluateOnly), signal);
  } finally {
    // A program that comes too late is disposed of when it comes.
    if (program === undefined)
      compiling.then(
        (late) => late.dispose(),
        () => undefined,
      );
    program?.cancel();
    program?.dispose();
  }
}

async function timedPasses(program: Program, evaluateOnly: boolean): Promise<Trial> {
  await program.initialize(1n);
  const samples = program.chunkSamples;
  const images = patterned(samples * program.imageFloats);
  const targets = new Float32Array(samples * program.classes);
  for (let i = 0; i < samples; i++) targets[i * program.classes + (i % program.classes)] = 1;
  const batch = { images, targets, samples, firstSample: 0 };
  const pass = async (): Promise<{ losses: Float32Array; gradNorm: number }> => {
    if (evaluateOnly) return { ...(await program.evaluate(batch)), gradNorm: 0 };
    const dropout = program.sites.length > 0 ? RATE : 0;
    const random = { seed: 1n, step: 0, dropout, blockRates: new Array<number>(program.blocks).fill(RATE) };
    return await program.step({ microBatches: [batch], random, lossScale: 1 / samples, optimizer });
  };
  const { losses, gradNorm } = await pass();
  let seconds = Number.POSITIVE_INFINITY;
  for (let k = 0; k < PASSES; k++) {
    const begun = performance.now();
    await pass();
    seconds = Math.min(seconds, (performance.now() - begun) / 1000);
  }
  return { losses, gradNorm, seconds };
}

/** A step that changes no weight, and takes as long as one that does. */
const optimizer: OptimizerStep = {
  ...{ kind: 'adamw', beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum: 0, step: 1, clip: 1 },
  ...{ learningRate: 0, weightDecay: 0, emaDecay: -1 },
};

/** Values from −1 to 1 without a short period, cheap to make. */
function patterned(length: number): Float32Array {
  const values = new Float32Array(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[i] = state / 2 ** 31;
  }
  return values;
}
