/** Computes every step of a run alone: takes its micro-batches in order, and runs them through the program. */
import { afterStep, firstLossScaling, type LossScaling, type Program } from '#engine/index.js';
import { countTopK } from '#nn/metrics.js';
import type { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import type { PreparedBatch } from '#training/prepared-batches.js';
import { mixes, type ResolvedSpec } from '../run/run-spec.js';
import type { ComputeStep } from './run-loop.js';
import { StepScalars } from './step-scalars.js';
import { type BatchSource, releaseBatches, takeBatches } from './take-batches.js';

export interface WholeStepsOptions {
  readonly program: Program;
  readonly spec: ResolvedSpec;
  readonly dropKind: DropKind;
  /** In order, beginning with the first one of the first step. Every batch is handed back. */
  readonly batches: BatchSource;
  /** With precision f16: the state of the loss scaling before the first step. Default: that of a new run. */
  readonly lossScaling?: LossScaling | undefined;
  /** Computes each step once its data is there; whoever cancels the program meanwhile gets its error from the step. Default: just runs it. */
  readonly during?: <T>(step: () => Promise<T>) => Promise<T>;
}

/** The steps must be asked for in order. */
export function wholeSteps(options: WholeStepsOptions): ComputeStep {
  const { program, spec, batches, during = (step) => step() } = options;
  const scalars = new StepScalars(options);
  const mixed = mixes(spec);
  let scaling = program.fingerprint.precision === 'f16' ? (options.lossScaling ?? firstLossScaling) : undefined;
  return async (step, rates, signal) => {
    const begun = performance.now();
    const micro = await takeBatches(batches, spec.updateFreq, 'the step', signal);
    const release = (): void => releaseBatches(micro);
    try {
      const dataWaitSeconds = (performance.now() - begun) / 1000;
      const samples = micro.reduce((sum, batch) => sum + batch.samples, 0);
      let firstSample = 0;
      const microBatches = micro.map(({ images, targets, samples: count }) => {
        const first = firstSample;
        firstSample += count;
        return { images, targets, samples: count, firstSample: first };
      });
      const request = {
        microBatches,
        random: scalars.random(step, rates),
        lossScale: 1 / samples,
        ...(scaling && { gradientScale: scaling.scale }),
        leaves: spec.gradientLeaves,
        optimizer: scalars.optimizer(step - (scaling?.skippedSteps ?? 0), rates),
      };
      const { losses, logits, gradNorm, skipped, seconds } = await during(() => program.step(request));
      const scaled = scaling && { lossScale: scaling.scale, skipped, after: afterStep(scaling, skipped) };
      scaling = scaled?.after;
      return {
        losses,
        correct: mixed ? undefined : countTopK(logits, labelsOf(micro, samples), program.classes, 1),
        gradNorm,
        batchSha256: micro.map(({ sha256 }) => sha256),
        replaced: micro.flatMap(({ replaced }) => replaced),
        dataWaitSeconds,
        scaling: scaled,
        seconds,
        spans: micro.flatMap(({ span }) => span ?? []),
        release,
      };
    } catch (error) {
      release();
      throw error;
    }
  };
}

/** Class of every sample of some batches, before mixing. */
export function labelsOf(micro: readonly PreparedBatch[], samples: number): Uint32Array {
  const labels = new Uint32Array(samples);
  let at = 0;
  for (const batch of micro) {
    labels.set(batch.labels, at);
    at += batch.samples;
  }
  return labels;
}
