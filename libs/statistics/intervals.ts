/** Means and their 95 % intervals. */
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { tCritical } from './student-t.js';

export type Interval = readonly [low: number, high: number];

const LEVEL = 0.95;
const RESAMPLES = 10_000;

export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation of the population that the values are a sample of (divisor n − 1). */
export function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/** Student's interval of the mean; undefined for fewer than two values. */
export function tInterval(values: readonly number[]): Interval | undefined {
  if (values.length < 2) return undefined;
  const half = (tCritical(1 - LEVEL, values.length - 1) * deviationOf(values)) / Math.sqrt(values.length);
  return [meanOf(values) - half, meanOf(values) + half];
}

/**
 * Percentile interval of the mean over 10,000 resamples with replacement; undefined for fewer than two values. The draws are a function of `purpose`, so
 * equal values have an equal interval, everywhere and always.
 */
export function bootstrapInterval(values: readonly number[], purpose: string): Interval | undefined {
  const n = values.length;
  if (n < 2) return undefined;
  const draws = new PhiloxDraws(purposeKey(0n, `bootstrap ${purpose}`));
  const means = Float64Array.from({ length: RESAMPLES }, (_, resample) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += values[Math.floor(draws.uniform(resample * n + k) * n)]!;
    return sum / n;
  }).sort();
  return [quantile(means, (1 - LEVEL) / 2), quantile(means, (1 + LEVEL) / 2)];
}

/** Quantile of sorted values, linear between neighbours. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below]!;
  return low + (at - below) * (sorted[Math.min(below + 1, sorted.length - 1)]! - low);
}
