/** Evaluates the weights of a checkpoint, and their moving average if the spec asks for it, on every sample of a data set once, in order. */
import { type CompileShapes, type Program, planOnEngine } from '#engine/index.js';
import type { Model } from '#nn/model.js';
import { modelConfig } from '#nn/models/registry.js';
import type { ReplacedSample } from '#protocol/dropstream/v1/data.js';
import type { EvaluationResult, EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { engines, precisions } from '#spec/words.js';
import { type LoadedCheckpoint, loadCheckpoint } from '#storage/checkpoint.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { readTrainingMetadata } from '#training/checkpoint-metadata.js';
import { toProgramTensors } from '#training/checkpoint-tensors.js';
import { type DataAccess, type PreparedBatch, PreparedBatches } from '#training/prepared-batches.js';
import { manifestKeyOf } from '#work/checkpoint-keys.js';
import { evaluationPlan } from '../evaluation/evaluation-plan.js';
import { ScoreSums } from './scores.js';

export interface ScoreOptions {
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

/** Images cannot be decoded. The data service would put others in their places, and the scores would not be those of the data set. */
export class UndecodableImages extends Error {
  override readonly name = 'UndecodableImages';
  constructor(readonly images: readonly ReplacedSample[]) {
    const shown = images.slice(0, 10).map(({ path, reason }) => `${path} (${reason})`);
    const more = images.length > shown.length ? ', …' : '';
    super(
      `the data set has images that cannot be decoded: ${shown.join(', ')}${more}; replace or remove them and index the data set again`,
    );
  }
}

/** One batch is evaluated while the next one is prepared. */
const buffers = 2;

/** @throws CheckpointDamaged, ObjectNotFound, UndecodableImages, NonFiniteScores; any error of the data service; what the signal ends, with any error */
export async function scoreCheckpoint(options: ScoreOptions): Promise<EvaluationResult> {
  const begun = performance.now();
  const { store, parent, spec, runUid, data, signal } = options;
  const loaded = await loadCheckpoint(store, manifestKeyOf(spec.checkpoint, runUid), {
    groups: spec.ema === true ? ['weights', 'ema'] : ['weights'],
    signal,
  });
  const { model, spec: runSpec } = readTrainingMetadata(spec.checkpoint, loaded.manifest.metadata);
  const trained = RunSpec.fromJSON(runSpec);
  const program = await compileForScores(
    // A ConvNeXt without layer scale has other parameters.
    modelConfig(model.name, model, { layerScaleInitValue: trained.layerScaleInitValue }),
    { imageSize: model.imageSize, classes: model.classes, batch: spec.batchSize as number },
    options,
  );
  // A batch of a large model may take longer than there is time.
  const abandon = (): void => program.cancel();
  signal.addEventListener('abort', abandon, { once: true });
  try {
    signal.throwIfAborted();
    await load(program, loaded);
    const request = { plan: evaluationPlan(spec, trained, model.imageSize), parent, epochs: 1, signal };
    const batches = new PreparedBatches({ data, request, program, classes: program.classes, buffers });
    try {
      const { weights, ema } = await scoreAll(program, batches, loaded.tensors.ema !== undefined, options);
      return {
        samples: BigInt(weights.samples),
        weights: weights.scores(),
        ema: ema?.scores(),
        step: BigInt(loaded.manifest.step),
        seconds: (performance.now() - begun) / 1000,
      };
    } finally {
      await batches.close();
    }
  } finally {
    signal.removeEventListener('abort', abandon);
    program.dispose();
  }
}

async function compileForScores(model: Model, shapes: CompileShapes, { spec, signal, logger }: ScoreOptions): Promise<Program> {
  const options = { precision: precisions.wordOf(spec.precision), evaluateOnly: true, held: { batches: buffers, leaves: 1 } };
  const { engine, reason, planned } = await planOnEngine(engines.wordOf(spec.engine), model, shapes, options, signal);
  if (reason !== '') logger.info({ engine, reason }, 'an engine was chosen');
  return planned.create();
}

async function load(program: Program, { tensors: { weights = [], ema } }: LoadedCheckpoint): Promise<void> {
  await program.importState({ weights: toProgramTensors(weights), ...(ema && { ema: toProgramTensors(ema) }) });
}

async function scoreAll(
  program: Program,
  batches: PreparedBatches,
  withEma: boolean,
  { onProgress, onImages, signal }: ScoreOptions,
): Promise<{ weights: ScoreSums; ema: ScoreSums | undefined }> {
  const weights = new ScoreSums(program.classes);
  const ema = withEma ? new ScoreSums(program.classes, 'moving average') : undefined;
  const score = async ({ images, targets, labels, samples }: PreparedBatch, sums: ScoreSums, state: 'weights' | 'ema'): Promise<void> => {
    // What is asked for after a cancel is not part of it.
    signal.throwIfAborted();
    const { logits, losses } = await program.evaluate({ images, targets, samples }, state);
    sums.add(logits, losses, labels);
    onImages(samples);
  };
  for (let batch = await batches.next(signal); batch !== undefined; batch = await batches.next(signal)) {
    try {
      if (batch.replaced.length > 0) throw new UndecodableImages(batch.replaced);
      await score(batch, weights, 'weights');
      if (ema) await score(batch, ema, 'ema');
    } finally {
      batch.release();
    }
    onProgress(weights.samples);
  }
  return { weights, ema };
}
