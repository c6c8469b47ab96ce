/** Learning rate, weight decay and drop rate of every step of a run, from its spec and the segments in its log. */
import { type ScheduleSegment, SegmentFormula } from '#protocol/dropstream/v1/schedule_types.js';
import { dropRate, learningRate, type Segment, segmentAt, valueAt, weightDecay } from '#schedule/index.js';
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
  const rate = spec.dropPath > 0 ? spec.dropPath : spec.dropout;
  const mode = spec.dropMode as 'standard' | 'early' | 'late';
  const schedule = spec.dropSchedule as 'constant' | 'linear';
  const { segments } = dropRate({ rate, mode, schedule, cutoffEpoch: spec.cutoffEpoch }, { epochs: spec.epochs, stepsPerEpoch });
  return segments.map(toMessage);
}

export function dropRateAt(changes: readonly ScheduleChange[], step: number): number {
  const change = changes.findLast(({ effectiveStep }) => effectiveStep <= step);
  if (change === undefined) throw new RangeError(`no drop schedule holds at step ${step}`);
  return valueAt(segmentAt(change.segments.map(fromMessage), step), step);
}

function fromMessage({ start, end, formula, startValue, endValue }: ScheduleSegment): Segment {
  const linear = formula === SegmentFormula.LINEAR_TO_ZERO;
  return { start: Number(start), end: Number(end), formula: linear ? 'linear_to_zero' : 'constant', startValue, endValue };
}

function toMessage({ start, end, formula, startValue, endValue }: Segment): ScheduleSegment {
  const message = formula === 'linear_to_zero' ? SegmentFormula.LINEAR_TO_ZERO : SegmentFormula.CONSTANT;
  return { start: BigInt(start), end: BigInt(end), formula: message, startValue, endValue };
}
