/** Computes every step of a run alone: takes its micro-batches in order, and runs them through the program. */
import { afterStep, firstLossScaling, type LossScaling, type Program } from '#engine/index.js';
import { countTopK } from '#nn/metrics.js';
import type { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import type { PreparedBatch, PreparedBatches } from '#training/prepared-batches.js';
import { mixes, type ResolvedSpec } from '../run/run-spec.js';
import type { ComputeStep } from './run-loop.js';
import { StepScalars } from './step-scalars.js';

/** Micro-batches in order. */
export type BatchSource = Pick<PreparedBatches, 'next'>;

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
    const micro = await take(batches, spec.updateFreq, signal);
    const release = (): void => {
      for (const batch of micro) batch.release();
    };
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

async function take(batches: BatchSource, count: number, signal: AbortSignal): Promise<PreparedBatch[]> {
  const taken: PreparedBatch[] = [];
  try {
    while (taken.length < count) {
      const batch = await batches.next(signal);
      if (batch === undefined) throw new Error(`the step lacks ${count - taken.length} batches, because the batches of the run ended`);
      taken.push(batch);
    }
    return taken;
  } catch (error) {
    for (const batch of taken) batch.release();
    throw error;
  }
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
