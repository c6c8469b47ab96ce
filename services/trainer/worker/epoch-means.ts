/** Computes means over the steps of an epoch. The sums are stored in checkpoints, so that means are right if two attempts share an epoch. */
import type { EpochRecord, StepMetrics } from '#protocol/dropstream/v1/trainer.js';

/** Sums in step order, which JSON stores exactly. */
export interface EpochSums {
  readonly epoch: number;
  readonly steps: number;
  readonly loss: number;
  readonly lr: number;
  /** Smallest learning rate; 0 before the first step, because JSON has no Infinity. */
  readonly minLr: number;
  readonly dropRate: number;
  readonly weightDecay: number;
  readonly gradNorm: number;
  /** Sum over the steps that have one. */
  readonly classAcc: number;
  readonly classAccSteps: number;
}

export function emptySums(epoch: number): EpochSums {
  return { epoch, steps: 0, loss: 0, lr: 0, minLr: 0, dropRate: 0, weightDecay: 0, gradNorm: 0, classAcc: 0, classAccSteps: 0 };
}

/** Adds a step of the same epoch. */
export function addStep(sums: EpochSums, step: StepMetrics): EpochSums {
  return {
    epoch: sums.epoch,
    steps: sums.steps + 1,
    loss: sums.loss + step.loss,
    lr: sums.lr + step.lr,
    minLr: sums.steps === 0 ? step.lr : Math.min(sums.minLr, step.lr),
    dropRate: sums.dropRate + step.dropRate,
    weightDecay: sums.weightDecay + step.weightDecay,
    gradNorm: sums.gradNorm + step.gradNorm,
    classAcc: sums.classAcc + (step.classAcc ?? 0),
    classAccSteps: sums.classAccSteps + (step.classAcc === undefined ? 0 : 1),
  };
}

/** The record of an epoch that has ended. `images` and `seconds` cover only this attempt. */
export function epochRecord(sums: EpochSums, images: number, seconds: number): EpochRecord {
  const mean = (sum: number): number => (sums.steps === 0 ? 0 : sum / sums.steps);
  return {
    epoch: sums.epoch,
    trainLoss: mean(sums.loss),
    trainLr: mean(sums.lr),
    trainMinLr: sums.minLr,
    trainDropRate: mean(sums.dropRate),
    trainWeightDecay: mean(sums.weightDecay),
    trainGradNorm: mean(sums.gradNorm),
    trainClassAcc: sums.classAccSteps === 0 ? undefined : sums.classAcc / sums.classAccSteps,
    imagesPerSecond: seconds > 0 ? images / seconds : 0,
    seconds,
  };
}

/**
 * Mean loss of a step: float64 sum over the samples in batch order, divided, rounded once to float32. Every executor and every resumed
 * attempt adds in this order, so the recorded value is exact.
 */
export function meanLoss(losses: Float32Array): number {
  let sum = 0;
  for (const loss of losses) sum += loss;
  return Math.fround(sum / losses.length);
}
