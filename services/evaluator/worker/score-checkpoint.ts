/** Evaluates the weights of a checkpoint, and their moving average if the spec asks for it, on every sample of a data set once, in order. */
import type { Program } from '#engine/index.js';
import type { ReplacedSample } from '#protocol/dropstream/v1/data.js';
import type { EvaluationResult } from '#protocol/dropstream/v1/evaluator.js';
import { type PreparedBatch, PreparedBatches } from '#training/prepared-batches.js';
import { evaluationPlan } from '../evaluation/evaluation-plan.js';
import { buffers, type EvaluateOptions, withLoadedProgram } from './loaded-program.js';
import { ScoreSums } from './scores.js';

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

/** @throws CheckpointDamaged, ObjectNotFound, UndecodableImages, NonFiniteScores; any error of the data service; what the signal ends, with any error */
export async function scoreCheckpoint(options: EvaluateOptions): Promise<EvaluationResult> {
  const begun = performance.now();
  const { parent, spec, data, signal } = options;
  return await withLoadedProgram(options, true, async ({ program, trained, imageSize, hasEma, step }) => {
    const request = { plan: evaluationPlan(spec, trained, imageSize), parent, epochs: 1, signal };
    const batches = new PreparedBatches({ data, request, program, classes: program.classes, buffers });
    try {
      const { weights, ema } = await scoreAll(program, batches, hasEma, options);
      return {
        samples: BigInt(weights.samples),
        weights: weights.scores(),
        ema: ema?.scores(),
        step: BigInt(step),
        seconds: (performance.now() - begun) / 1000,
        gradientStatistics: undefined,
      };
    } finally {
      await batches.close();
    }
  });
}

async function scoreAll(
  program: Program,
  batches: PreparedBatches,
  withEma: boolean,
  { onProgress, onImages, signal }: EvaluateOptions,
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
