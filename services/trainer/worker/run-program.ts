/** The program of a run: its model, compiled with the options of its spec for the engine of its claim. */
import {
  type ChosenEngine,
  type CompileOptions,
  type CompileShapes,
  chooseEngine,
  compile,
  type EngineName,
  executorOf,
  type Fingerprint,
  fingerprintOf,
  type Program,
} from '#engine/index.js';
import type { Model } from '#nn/model.js';
import { precisions } from '#spec/words.js';
import { modelOf } from '../run/model-catalog.js';
import type { ResolvedSpec } from '../run/run-spec.js';

/** @throws UnknownModel, ExecutorUnavailable; RangeError for options that the executor lacks */
export function compileRun(spec: ResolvedSpec, engine: EngineName): Promise<Program> {
  const { model, shapes, options } = compilation(spec);
  return compile(model, shapes, { ...options, executor: executorOf(engine) });
}

/** The numerics that compileRun's program would have on this machine. @throws what compileRun throws */
export function fingerprintOfRun(spec: ResolvedSpec, engine: EngineName): Promise<Fingerprint> {
  const { model, shapes, options } = compilation(spec);
  return fingerprintOf(model, shapes, { ...options, executor: executorOf(engine) });
}

/** The engine that is best for the run on this machine. @throws the signal's reason */
export function chooseEngineFor(spec: ResolvedSpec, signal: AbortSignal): Promise<ChosenEngine> {
  const { model, shapes, options } = compilation(spec);
  return chooseEngine(model, shapes, options, signal);
}

function compilation(spec: ResolvedSpec): { model: Model; shapes: CompileShapes; options: Omit<CompileOptions, 'executor'> } {
  const { inputSize, nbClasses, batchSize, precision, checkpointBlocks } = spec;
  const shapes = { imageSize: inputSize, classes: nbClasses, batch: batchSize };
  return { model: modelOf(spec), shapes, options: { precision: precisions.wordOf(precision), checkpointBlocks } };
}
