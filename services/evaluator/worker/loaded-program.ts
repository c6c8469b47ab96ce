/** The program of an evaluation, with the parameters of its checkpoint. */
import { type CompileShapes, type Program, planOnEngine } from '#engine/index.js';
import type { Model } from '#nn/model.js';
import { modelConfig } from '#nn/models/registry.js';
import type { EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { engines, precisions } from '#spec/words.js';
import { type LoadedCheckpoint, loadCheckpoint } from '#storage/checkpoint.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { readTrainingMetadata } from '#training/checkpoint-metadata.js';
import { toProgramTensors } from '#training/checkpoint-tensors.js';
import type { DataAccess } from '#training/prepared-batches.js';
import { manifestKeyOf } from '#work/checkpoint-keys.js';

export interface EvaluateOptions {
  readonly store: ObjectStore;
  /** projects/{project} */
  readonly parent: string;
  /** Resolved spec. */
  readonly spec: EvaluationSpec;
  /** Uid of the checkpoint's run. */
  readonly runUid: string;
  readonly data: DataAccess;
  /** Called after each batch with the number of samples evaluated so far. */
  readonly onProgress: (samples: number) => void;
  readonly onImages: (count: number) => void;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

export interface LoadedProgram {
  readonly program: Program;
  /** Spec of the checkpoint's run. */
  readonly trained: RunSpec;
  readonly imageSize: number;
  readonly hasEma: boolean;
  /** Optimizer step of the checkpoint. */
  readonly step: number;
}

/** One batch is evaluated while the next one is prepared. */
export const buffers = 2;

/** Calls `use` with the program and frees it afterwards. @throws CheckpointDamaged, ObjectNotFound; what `use` throws; what the signal ends, with any error */
export async function withLoadedProgram<T>(
  options: EvaluateOptions,
  evaluateOnly: boolean,
  use: (loaded: LoadedProgram) => Promise<T>,
): Promise<T> {
  const { store, spec, runUid, signal } = options;
  const loaded = await loadCheckpoint(store, manifestKeyOf(spec.checkpoint, runUid), {
    groups: spec.ema === true ? ['weights', 'ema'] : ['weights'],
    signal,
  });
  const { model, spec: runSpec } = readTrainingMetadata(spec.checkpoint, loaded.manifest.metadata);
  const trained = RunSpec.fromJSON(runSpec);
  const program = await compileFor(
    // A ConvNeXt without layer scale has other parameters.
    modelConfig(model.name, model, { layerScaleInitValue: trained.layerScaleInitValue }),
    { imageSize: model.imageSize, classes: model.classes, batch: spec.batchSize as number },
    evaluateOnly,
    options,
  );
  // A batch of a large model may take longer than there is time.
  const abandon = (): void => program.cancel();
  signal.addEventListener('abort', abandon, { once: true });
  try {
    signal.throwIfAborted();
    await load(program, loaded);
    const hasEma = loaded.tensors.ema !== undefined;
    return await use({ program, trained, imageSize: model.imageSize, hasEma, step: loaded.manifest.step });
  } finally {
    signal.removeEventListener('abort', abandon);
    program.dispose();
  }
}

async function compileFor(
  model: Model,
  shapes: CompileShapes,
  evaluateOnly: boolean,
  { spec, signal, logger }: EvaluateOptions,
): Promise<Program> {
  const options = { precision: precisions.wordOf(spec.precision), evaluateOnly, held: { batches: buffers, leaves: 1 } };
  const { engine, reason, planned } = await planOnEngine(engines.wordOf(spec.engine), model, shapes, options, signal);
  if (reason !== '') logger.info({ engine, reason }, 'an engine was chosen');
  return planned.create();
}

async function load(program: Program, { tensors: { weights = [], ema } }: LoadedCheckpoint): Promise<void> {
  await program.importState({ weights: toProgramTensors(weights), ...(ema && { ema: toProgramTensors(ema) }) });
}
