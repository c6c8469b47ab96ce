/** The smallest and the largest value of every metric in stretches of steps, each with its step: what a curve at a distance consists of. */
import { metricCount, placeOf, type StepColumns } from './step-columns.js';

/** Steps of a stretch. Stretches begin at its multiples, so that those of different parts of a run fit together. */
export const stretch = 64;

/** By stretch, in ascending order. */
export interface Extremes {
  /** Number of each stretch: its first step divided by `stretch`. */
  readonly numbers: Float64Array;
  /** By metric; NaN where no step of the stretch has a value. */
  readonly metrics: readonly MetricExtremes[];
}

export interface MetricExtremes {
  readonly min: Float64Array;
  readonly minStep: Float64Array;
  readonly max: Float64Array;
  readonly maxStep: Float64Array;
}

export function extremesOf({ steps, values }: StepColumns): Extremes {
  const numbers: number[] = [];
  const begins: number[] = [];
  for (let i = 0; i < steps.length; i++) {
    const number = Math.floor(steps[i]! / stretch);
    if (numbers.at(-1) === number) continue;
    numbers.push(number);
    begins.push(i);
  }
  const metrics = values.map((column) => {
    const found = emptyExtremes(numbers.length);
    for (let k = 0; k < numbers.length; k++) {
      const end = begins[k + 1] ?? steps.length;
      for (let i = begins[k]!; i < end; i++) include(found, k, column[i]!, steps[i]!);
    }
    return found;
  });
  return { numbers: Float64Array.from(numbers), metrics };
}

/** The stretches of all parts, of which each takes away what earlier ones have from its first step on. @param parts with the first step of each */
export function joinExtremes(parts: readonly { readonly first: number; readonly extremes: Extremes }[]): Extremes {
  const most = parts.reduce((sum, { extremes }) => sum + extremes.numbers.length, 0);
  const numbers = new Float64Array(most);
  const metrics = Array.from({ length: metricCount }, () => emptyExtremes(most));
  let count = 0;
  for (const { first, extremes } of parts) {
    if (extremes.numbers.length === 0) continue;
    // The stretch in which this part begins is the only one that two parts share.
    count = placeOf(numbers, first / stretch, count);
    const shared = count > 0 && numbers[count - 1] === extremes.numbers[0];
    if (shared) {
      count--;
      for (const metric of metrics) leaveOutFrom(metric, count, first);
    }
    numbers.set(extremes.numbers, count);
    for (const [m, metric] of metrics.entries()) {
      const from = extremes.metrics[m]!;
      for (let k = 0; k < extremes.numbers.length; k++) {
        const at = count + k;
        if (!(shared && k === 0)) clear(metric, at);
        include(metric, at, from.min[k]!, from.minStep[k]!);
        include(metric, at, from.max[k]!, from.maxStep[k]!);
      }
    }
    count += extremes.numbers.length;
  }
  const cut = (column: Float64Array): Float64Array => column.subarray(0, count);
  return {
    numbers: cut(numbers),
    metrics: metrics.map(({ min, minStep, max, maxStep }) => ({
      min: cut(min),
      minStep: cut(minStep),
      max: cut(max),
      maxStep: cut(maxStep),
    })),
  };
}

function emptyExtremes(count: number): MetricExtremes {
  const column = (): Float64Array => new Float64Array(count).fill(Number.NaN);
  return { min: column(), minStep: column(), max: column(), maxStep: column() };
}

/** For one range of any steps. */
export const emptyRange = (): MetricExtremes => emptyExtremes(1);

function clear({ min, minStep, max, maxStep }: MetricExtremes, at: number): void {
  for (const column of [min, minStep, max, maxStep]) column[at] = Number.NaN;
}

/** Takes out what was trained again. */
function leaveOutFrom({ min, minStep, max, maxStep }: MetricExtremes, at: number, step: number): void {
  if (minStep[at]! >= step) min[at] = minStep[at] = Number.NaN;
  if (maxStep[at]! >= step) max[at] = maxStep[at] = Number.NaN;
}

export function include({ min, minStep, max, maxStep }: MetricExtremes, at: number, value: number, step: number): void {
  if (Number.isNaN(value)) return;
  if (!(min[at]! <= value)) {
    min[at] = value;
    minStep[at] = step;
  }
  if (!(max[at]! >= value)) {
    max[at] = value;
    maxStep[at] = step;
  }
}
