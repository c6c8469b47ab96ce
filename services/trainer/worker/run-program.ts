/** The program of a run: its model, compiled with the options of its spec. */
import {
  type CompileOptions,
  type CompileShapes,
  compile,
  executorOf,
  type Fingerprint,
  fingerprintOf,
  type Program,
} from '#engine/index.js';
import type { Model } from '#nn/model.js';
import { engines, precisions } from '#spec/words.js';
import { modelOf } from '../run/model-catalog.js';
import type { ResolvedSpec } from '../run/run-spec.js';

/** @throws UnknownModel, ExecutorUnavailable; RangeError for options that the executor lacks */
export function compileRun(spec: ResolvedSpec): Promise<Program> {
  return compile(...compilation(spec));
}

/** The numerics that compileRun's program would have on this machine. @throws what compileRun throws */
export function fingerprintOfRun(spec: ResolvedSpec): Promise<Fingerprint> {
  return fingerprintOf(...compilation(spec));
}

function compilation(spec: ResolvedSpec): [Model, CompileShapes, CompileOptions] {
  const { inputSize, nbClasses, batchSize, engine, precision, checkpointBlocks } = spec;
  const shapes = { imageSize: inputSize, classes: nbClasses, batch: batchSize };
  const options = { executor: executorOf(engines.wordOf(engine)), precision: precisions.wordOf(precision), checkpointBlocks };
  return [modelOf(spec), shapes, options];
}
