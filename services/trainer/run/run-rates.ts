/** Learning rate, weight decay and drop rate of every step of a run, from its spec and the segments in its log. */
import type { ScheduleSegment } from '#protocol/dropstream/v1/schedule_types.js';
import { dropRate, learningRate, segmentAt, valueAt, weightDecay } from '#schedule/index.js';
import { dropScheduleOf, dropSpecOf, segmentMessage, segmentOf } from '#spec/drop-schedules.js';
import type { ResolvedSpec } from './run-spec.js';

export interface StepRates {
  readonly lr: number;
  readonly weightDecay: number;
  readonly dropRate: number;
}

/** A drop schedule that holds from a step on. */
export interface ScheduleChange {
  readonly effectiveStep: number;
  /** Of the whole training. */
  readonly segments: readonly ScheduleSegment[];
}

/**
 * Rates by step, from 0. `changes` are read at every call, in log order: of those in effect at a step the last one decides, so that a
 * resumed attempt uses what the first one used.
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

/** Segments of the spec's own drop options over the whole training. */
export function dropSegments(spec: ResolvedSpec, stepsPerEpoch: number): ScheduleSegment[] {
  const { segments } = dropRate(dropSpecOf(dropScheduleOf(spec)), { epochs: spec.epochs, stepsPerEpoch });
  return segments.map(segmentMessage);
}

export function dropRateAt(changes: readonly ScheduleChange[], step: number): number {
  const change = changes.findLast(({ effectiveStep }) => effectiveStep <= step);
  if (change === undefined) throw new RangeError(`no drop schedule holds at step ${step}`);
  return valueAt(segmentAt(change.segments.map(segmentOf), step), step);
}
