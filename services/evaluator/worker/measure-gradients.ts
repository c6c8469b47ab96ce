/** Measures the directions of a checkpoint's gradients: of the whole set first, then of the mini-batches with drop, and without. */
import type { Program, StepRequest } from '#engine/index.js';
import type { Plan } from '#protocol/dropstream/v1/data.js';
import type {
  DirectionStatistics as DirectionStatisticsMessage,
  EvaluationResult,
  GradientStatistics as GradientStatisticsMessage,
} from '#protocol/dropstream/v1/evaluator.js';
import { blockRates } from '#schedule/index.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import {
  computeGradient,
  type DirectionStatistics,
  DirectionSums,
  type GradientStatistics,
  WholeGradient,
} from '#training/gradient-statistics.js';
import { type PreparedBatch, PreparedBatches } from '#training/prepared-batches.js';
import { evaluationPlan, miniBatchPlan } from '../evaluation/evaluation-plan.js';
import { buffers, type EvaluateOptions, withLoadedProgram } from './loaded-program.js';
import { UndecodableImages } from './score-checkpoint.js';

/** @throws as scoreCheckpoint, and NonFiniteGradient; RangeError for a dropout rate of a model without dropout */
export async function measureGradients(options: EvaluateOptions): Promise<EvaluationResult> {
  const begun = performance.now();
  const { spec } = options;
  const { batches = 0, dropout = 0, dropPath = 0, seed = 0n } = spec.gradientStatistics ?? {};
  return await withLoadedProgram(options, false, async ({ program, trained, imageSize, step }) => {
    const measure = new Measurement(program, options);
    const plain = (k: number): StepRequest['random'] => ({ seed, step: k });
    const dropped = (k: number): StepRequest['random'] => ({
      seed,
      step: k,
      dropout,
      ...(dropPath > 0 && { blockRates: [...blockRates(dropPath, program.blocks)] }),
    });

    const whole = new WholeGradient(program);
    const wholePlan = evaluationPlan(spec, trained, imageSize);
    await measure.each({ plan: wholePlan, epochs: 1 }, Number.POSITIVE_INFINITY, plain, async ({ samples }) => await whole.add(samples));

    const directionsOf = async (random: (k: number) => StepRequest['random']): Promise<GradientStatistics> => {
      const sums = new DirectionSums(program);
      await measure.each({ plan: miniBatchPlan(spec, trained, imageSize) }, batches, random, async (_, loss) => await sums.add(loss));
      return sums.statistics(whole);
    };
    const withDrop = dropout > 0 || dropPath > 0 ? await directionsOf(dropped) : undefined;
    const withoutDrop = await directionsOf(plain);
    return {
      samples: BigInt(measure.samples),
      weights: undefined,
      ema: undefined,
      step: BigInt(step),
      seconds: (performance.now() - begun) / 1000,
      gradientStatistics: messageOf(whole, withDrop, withoutDrop, fingerprintLine(program.fingerprint)),
    };
  });
}

/** Computes the gradients of batches and counts their samples. */
class Measurement {
  samples = 0;

  constructor(
    private readonly program: Program,
    private readonly options: EvaluateOptions,
  ) {}

  /** Calls `use` for the first `most` batches of a plan, each with its gradient in the program. */
  async each(
    { plan, epochs }: { readonly plan: Plan; readonly epochs?: number },
    most: number,
    random: (k: number) => StepRequest['random'],
    use: (batch: PreparedBatch, loss: number) => Promise<void>,
  ): Promise<void> {
    const { program } = this;
    const { data, parent, signal, onImages, onProgress } = this.options;
    const request = { plan, parent, signal, ...(epochs === undefined ? {} : { epochs }) };
    const batches = new PreparedBatches({ data, request, program, classes: program.classes, buffers });
    try {
      for (let k = 0; k < most; k++) {
        const batch = await batches.next(signal);
        if (batch === undefined) return;
        try {
          if (batch.replaced.length > 0) throw new UndecodableImages(batch.replaced);
          const { images, targets, samples } = batch;
          // What is asked for after a cancel is not part of it.
          signal.throwIfAborted();
          await use(batch, await computeGradient(program, { images, targets, samples }, random(k)));
          this.samples += samples;
          onImages(samples);
        } finally {
          batch.release();
        }
        onProgress(this.samples);
      }
    } finally {
      await batches.close();
    }
  }
}

function messageOf(
  whole: WholeGradient,
  withDrop: GradientStatistics | undefined,
  withoutDrop: GradientStatistics,
  fingerprint: string,
): GradientStatisticsMessage {
  const norms = whole.norms();
  return {
    withDrop: withDrop && directionsMessage(withDrop, withDrop.loss),
    withoutDrop: directionsMessage(withoutDrop, withoutDrop.loss),
    blocks: [...withoutDrop.blocks].map(([block, without]) => {
      const dropped = withDrop?.blocks.get(block);
      return {
        block,
        withDrop: dropped && directionsMessage(dropped),
        withoutDrop: directionsMessage(without),
        wholeSetNorm: norms.blocks.get(block) ?? 0,
      };
    }),
    wholeSetNorm: norms.norm,
    wholeSetSamples: BigInt(whole.samples),
    fingerprint,
  };
}

const directionsMessage = ({ batches, variance, error, norm }: DirectionStatistics, loss?: number): DirectionStatisticsMessage => ({
  batches,
  variance,
  error,
  norm,
  loss,
});
