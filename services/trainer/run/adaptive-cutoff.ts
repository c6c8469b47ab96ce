/**
 * When early drop ends with an adaptive cutoff, as pure functions of the run's spec and its log. At the end of every `cutoff_every`-th epoch, the gradients
 * of the checkpoint are measured with drop and without, while the training goes on. What follows holds from the end of the next epoch on: the run waits
 * there if the measurement is not in the log yet, so no time and no speed decides from which step it counts.
 */
import { DropCutoff, type ScheduleSegment, SegmentFormula } from '#protocol/dropstream/v1/schedule_types.js';
import type { CutoffMeasuredRecord, Run } from '#protocol/dropstream/v1/trainer.js';

/** What the log has said about the cutoff. */
export interface CutoffView {
  /** Step of the newest measurement. */
  readonly measuredStep: number;
  /** Newest measurements in a row in which drop did not help. */
  readonly notHelping: number;
  /** Whether the drop ends, or has ended; then nothing is measured any more. */
  readonly ends: boolean;
}

/** How the measurements of a run have gone. */
export interface Measurements {
  readonly succeeded: number;
  readonly failed: number;
  /** Why the newest failed one did; empty if none has. */
  readonly failure: string;
}

/** What is used of a RunView. */
export interface CutoffRun {
  readonly run: Pick<Run, 'spec' | 'stepsPerEpoch'>;
  readonly cutoff?: CutoffView | undefined;
}

/** A mean direction error with drop and without. */
export interface DirectionErrors {
  readonly withDrop: number;
  readonly withoutDrop: number;
}

/** The first step after `step` whose checkpoint is measured; undefined if there is none, because the drop has ended by then, or the cutoff is fixed. */
export function measurementAfter({ run, cutoff }: CutoffRun, step: number): number | undefined {
  const { spec } = run;
  if (spec?.cutoff !== DropCutoff.ADAPTIVE || cutoff?.ends) return undefined;
  const every = (spec.cutoffEvery ?? 1) * Number(run.stepsPerEpoch);
  const next = (Math.floor(step / every) + 1) * every;
  return effectiveStep(run, next) < (spec.cutoffEpoch ?? 0) * Number(run.stepsPerEpoch) ? next : undefined;
}

/** The next step to be measured that the log does not have. */
export const nextMeasurement = (run: CutoffRun): number | undefined => measurementAfter(run, run.cutoff?.measuredStep ?? 0);

/** Whether the log still lacks the measurement of this step, so that its checkpoint is needed. */
export function isUnmeasured(run: CutoffRun, step: number): boolean {
  return step > (run.cutoff?.measuredStep ?? 0) && measurementAfter(run, step - 1) === step;
}

/** The first step for which the measurement of `step` counts: one epoch later. */
export const effectiveStep = ({ stepsPerEpoch }: Pick<Run, 'stepsPerEpoch'>, step: number): number => step + Number(stepsPerEpoch);

/**
 * The rule: drop does not help in a measurement if the mini-batch gradients with drop are not nearer to the gradient of the whole set than those without.
 * It ends when that was so in `cutoff_patience` measurements in a row. A measurement that failed counts neither way.
 */
export function decide({ run, cutoff }: CutoffRun, errors: DirectionErrors | undefined): Pick<CutoffView, 'notHelping' | 'ends'> {
  const before = cutoff?.notHelping ?? 0;
  const notHelping = errors === undefined ? before : errors.withDrop < errors.withoutDrop ? 0 : before + 1;
  return { notHelping, ends: errors !== undefined && notHelping >= (run.spec?.cutoffPatience ?? 1) };
}

/** Segments that have no drop from `step` on. A constant rate before it stays in them; a linear one cannot be cut without changing it, and is left out. */
export function segmentsEndingAt(step: number, segments: readonly ScheduleSegment[], totalSteps: number): ScheduleSegment[] {
  const [first] = segments;
  const [end, total] = [BigInt(step), BigInt(totalSteps)];
  const none = { formula: SegmentFormula.CONSTANT, startValue: 0, endValue: 0 };
  if (first?.formula !== SegmentFormula.CONSTANT || first.end < end) return [{ start: 0n, end: total, ...none }];
  return [
    { ...first, end },
    { start: end, end: total, ...none },
  ];
}

/** The view after a record. */
export const cutoffAfter = ({ step, notHelping, endsAtStep }: CutoffMeasuredRecord): CutoffView => ({
  measuredStep: Number(step),
  notHelping,
  ends: endsAtStep > 0n,
});

export function measurementsAfter(before: Measurements | undefined, { failure }: CutoffMeasuredRecord): Measurements {
  const { succeeded, failed } = before ?? { succeeded: 0, failed: 0 };
  if (failure === '') return { succeeded: succeeded + 1, failed, failure: before?.failure ?? '' };
  return { succeeded, failed: failed + 1, failure };
}

/** What is said at the end of a run of which measurements failed; empty if none did. */
export function noteOnMeasurements(measurements: Measurements | undefined): string {
  if (measurements === undefined || measurements.failed === 0) return '';
  const { succeeded, failed, failure } = measurements;
  if (succeeded > 0) return `${failed} of ${succeeded + failed} measurements of its gradients failed, the last one because: ${failure}`;
  return `its adaptive cutoff decided nothing, because all measurements of its gradients failed (${failed}), the last one because: ${failure}`;
}
