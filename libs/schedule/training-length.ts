/** The length of a training run in epochs and optimizer steps, and how micro-batches count towards it. */
import { ScheduleChecks } from './schedule-error.js';

/** The length of the training run for which schedules are resolved. */
export interface TrainingLength {
  /** 1 to 100,000. */
  readonly epochs: number;
  /** S: optimizer steps in an epoch, 1 to 100,000,000. See stepsPerEpoch(). */
  readonly stepsPerEpoch: number;
}

const maxEpochs = 100_000;
const maxStepsPerEpoch = 100_000_000;

export function checkLength(checks: ScheduleChecks, length: TrainingLength): boolean {
  const epochs = checks.integer('epochs', length.epochs, 1, maxEpochs);
  return checks.integer('steps_per_epoch', length.stepsPerEpoch, 1, maxStepsPerEpoch) && epochs;
}

/** T = epochs · S. At most 10^13, which a number holds exactly. */
export function totalSteps({ epochs, stepsPerEpoch }: TrainingLength): number {
  return epochs * stepsPerEpoch;
}

/** S = floor(samples / (batch · updateFreq · world)); the rest of an epoch is skipped. Throws ScheduleError if S would be 0. */
export function stepsPerEpoch(samples: number, batch: number, updateFreq = 1, world = 1): number {
  const checks = new ScheduleChecks();
  for (const [field, value] of [
    ['samples', samples],
    ['batch_size', batch],
    ['update_freq', updateFreq],
    ['world', world],
  ] as const) {
    checks.integer(field, value, 1, Number.MAX_SAFE_INTEGER);
  }
  checks.throwIfAny();
  const perStep = batch * updateFreq * world;
  checks.check(
    perStep <= samples,
    'batch_size',
    batch,
    `small enough that batch_size · update_freq · world = ${perStep} is at most the ${samples} samples`,
  );
  checks.throwIfAny();
  return Math.floor(samples / perStep);
}

/** Number of micro-batches of an epoch that are trained on: S · updateFreq. The rest is skipped. */
export function microstepsPerEpoch(length: TrainingLength, updateFreq: number): number {
  return length.stepsPerEpoch * updateFreq;
}

/**
 * The optimizer step of a micro-batch: epoch · S + floor(microstep / updateFreq). Learning rate, weight decay and drop rate change only between
 * optimizer steps, so all micro-batches of one step share them. Undefined for the micro-batches at the end of an epoch that are skipped. epoch and
 * microstep count from 0.
 */
export function optimizerStep(length: TrainingLength, updateFreq: number, epoch: number, microstep: number): number | undefined {
  const within = Math.floor(microstep / updateFreq);
  return within < length.stepsPerEpoch ? epoch * length.stepsPerEpoch + within : undefined;
}
