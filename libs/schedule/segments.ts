/**
 * A schedule in closed form: segments without gaps from step 0 to the end of training, each with end points and one normative formula. Values are
 * IEEE float64 and operations have the written order, so every implementation gives the same bits (for the cosine, up to the last digits of its math
 * library). There are no arrays: a schedule of 10^7 steps costs the same as one of 10.
 */

export type SegmentFormula = 'constant' | 'linear_to_zero' | 'linear_warm_up' | 'cosine';

export interface Segment {
  /** First optimizer step, inclusive. */
  readonly start: number;
  /** Last optimizer step, exclusive. */
  readonly end: number;
  readonly formula: SegmentFormula;
  /** Value at `start`. */
  readonly startValue: number;
  /** Value at `end - 1`; for `cosine` the limit, which step `end` would reach. */
  readonly endValue: number;
}

/**
 * The value at step i of the segment, j = i − start, n = end − start.
 *
 * - constant:        startValue
 * - linear_to_zero:  startValue · (1 − j / (n − 1)); startValue where n = 1
 * - linear_warm_up:  endValue · (j / (n − 1)), from 0; 0 where n = 1
 * - cosine:          endValue + ((0.5 · (startValue − endValue)) · (1 + cos((π · j) / n)))
 */
export function valueAt({ start, end, formula, startValue, endValue }: Segment, i: number): number {
  const j = i - start;
  const n = end - start;
  switch (formula) {
    case 'constant':
      return startValue;
    case 'linear_to_zero':
      return n === 1 ? startValue : startValue * (1 - j / (n - 1));
    case 'linear_warm_up':
      return n === 1 ? 0 : endValue * (j / (n - 1));
    case 'cosine':
      return endValue + 0.5 * (startValue - endValue) * (1 + Math.cos((Math.PI * j) / n));
  }
}

/** The segment that contains step i. There are at most two segments. */
export function segmentAt(segments: readonly Segment[], i: number): Segment {
  const found = Number.isInteger(i) ? segments.find((segment) => i >= segment.start && i < segment.end) : undefined;
  if (found === undefined) throw new RangeError(`step is ${i}, must be an integer from 0 to ${(segments.at(-1)?.end ?? 0) - 1}`);
  return found;
}

/** A resolved schedule: its segments and the value at any step. */
export interface ResolvedSchedule {
  readonly segments: readonly Segment[];
  /** Throws RangeError for a step outside the training. */
  at(step: number): number;
}

export function resolved(segments: readonly Segment[]): ResolvedSchedule {
  // Segments without steps are left out.
  const kept = segments.filter((segment) => segment.end > segment.start);
  return { segments: kept, at: (step) => valueAt(segmentAt(kept, step), step) };
}
