/** Computes the learning rate, weight decay and drop rate of every step of a run from its spec and the drop segments in its log. */
import type { ScheduleSegment } from '#protocol/dropstream/v1/schedule_types.js';
import { dropRate, learningRate, segmentAt, valueAt, weightDecay } from '#schedule/index.js';
import { dropScheduleOf, dropSpecOf, segmentMessage, segmentOf } from '#spec/drop-schedules.js';
import type { ResolvedSpec } from './run-spec.js';

export interface StepRates {
  readonly lr: number;
  readonly weightDecay: number;
  readonly dropRate: number;
}

/** A drop schedule that is used from a step on. */
export interface ScheduleChange {
  readonly effectiveStep: number;
  /** Segments of the whole training. */
  readonly segments: readonly ScheduleSegment[];
}

/**
 * Rates by step, from 0. `changes` are read at every call, in log order. The last one that is in effect at a step decides, so that a resumed
 * attempt uses the same rates as the first one.
 */
export function runRates(spec: ResolvedSpec, stepsPerEpoch: number, changes: () => readonly ScheduleChange[]): (step: number) => StepRates {
  const length = { epochs: spec.epochs, stepsPerEpoch };
  const lr = learningRate(
    { lr: spec.lr, minLr: spec.minLr, warmupEpochs: spec.warmupEpochs, warmupSteps: Number(spec.warmupSteps) },
    length,
  );
  const decay = weightDecay({ weightDecay: spec.weightDecay, weightDecayEnd: spec.weightDecayEnd }, length);
  return (step) => ({ lr: lr.at(step), weightDecay: decay.at(step), dropRate: dropRateAt(changes(), step) });
}

/** Segments of the whole training for the drop options of the spec. */
export function dropSegments(spec: ResolvedSpec, stepsPerEpoch: number): ScheduleSegment[] {
  const { segments } = dropRate(dropSpecOf(dropScheduleOf(spec)), { epochs: spec.epochs, stepsPerEpoch });
  return segments.map(segmentMessage);
}

export function dropRateAt(changes: readonly ScheduleChange[], step: number): number {
  const change = changes.findLast(({ effectiveStep }) => effectiveStep <= step);
  if (change === undefined) throw new RangeError(`no drop schedule is in effect at step ${step}`);
  return valueAt(segmentAt(change.segments.map(segmentOf), step), step);
}
