/** Stochastic-depth rates of a model's blocks (recipe §2): deeper blocks drop more. */
import { ScheduleChecks } from './schedule-error.js';

export const maxDepth = 1000;

/**
 * The rate of each block, counted across all stages: rate · k / (depth − 1), so block 0 never drops and the last block has exactly `rate`; [0] for
 * depth 1. float64. Throws ScheduleError for a rate outside [0, 1) or a depth outside 1 to 1000.
 */
export function blockRates(rate: number, depth: number): Float64Array {
  const checks = new ScheduleChecks();
  checks.check(rate >= 0 && rate < 1, 'rate', rate, 'a number of at least 0 and below 1');
  checks.integer('depth', depth, 1, maxDepth);
  checks.throwIfAny();
  const rates = new Float64Array(depth);
  // (rate · k) / (depth − 1): multiplying first gives the last block exactly the rate.
  for (let k = 1; k < depth; k++) rates[k] = k === depth - 1 ? rate : (rate * k) / (depth - 1);
  return rates;
}
