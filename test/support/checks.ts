/** What a comparison found: a list of checks, each with its error and the most that is allowed. Tests assert them, the parity runner prints them. */
import assert from 'node:assert/strict';

export interface Check {
  what: string;
  /** NaN or infinite: failed. */
  error: number;
  tolerance: number;
  /** Values or places, for the message of a failure. */
  note?: string;
}

export const passes = ({ error, tolerance }: Check): boolean =>
  Number.isFinite(error) && Number.isFinite(tolerance) && error >= 0 && error <= tolerance;

/** The check nearest to failing, or the worst of those that fail. */
export function worstOf(checks: readonly Check[]): Check {
  const share = (check: Check) => (passes(check) ? check.error / (check.tolerance || 1) : Number.POSITIVE_INFINITY);
  const [first, ...rest] = checks;
  if (first === undefined) throw new Error('nothing was compared');
  return rest.reduce((worst, check) => (share(check) > share(worst) ? check : worst), first);
}

export function describeCheck({ what, error, tolerance, note }: Check): string {
  return `${what}: off by ${error}, allowed ${tolerance}${note === undefined ? '' : ` (${note})`}`;
}

/** At least one check, and none fails. */
export function assertChecks(checks: readonly Check[], context = ''): void {
  assert.ok(checks.length > 0, `${context}: nothing was compared`);
  const failed = checks.filter((check) => !passes(check));
  assert.ok(failed.length === 0, `${context} ${failed.slice(0, 5).map(describeCheck).join('; ')}`);
}

export function absolute(what: string, actual: number, expected: number, tolerance: number): Check {
  return { what, error: Math.abs(actual - expected), tolerance, note: `${actual}, expected ${expected}` };
}

/** Relative to the expected value; where that is 0, only 0 is right. */
export function relative(what: string, actual: number, expected: number, tolerance: number): Check {
  const error = actual === expected ? 0 : Math.abs(actual - expected) / Math.abs(expected);
  return { what, error, tolerance, note: `${actual}, expected ${expected}` };
}

/** Largest absolute difference of two lists; of other lengths: failed. */
export function largestDifference(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): Check {
  if (actual.length !== expected.length || expected.length === 0) {
    return { what, error: Number.NaN, tolerance, note: `${actual.length} values, expected ${expected.length}` };
  }
  let [worst, at] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] as number) - (expected[i] as number));
    if (!(difference <= worst)) [worst, at] = [difference, i];
    if (Number.isNaN(worst)) break;
  }
  return { what, error: worst, tolerance, note: `at ${at}: ${actual[at]}, expected ${expected[at]}` };
}

/** Plain data that must be equal: 0 or 1 against 0. */
export function same(what: string, actual: unknown, expected: unknown): Check {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a === b && b !== undefined) return { what, error: 0, tolerance: 0 };
  let from = 0;
  while (a?.[from] !== undefined && a[from] === b?.[from]) from++;
  const part = (text: string | undefined) => text?.slice(Math.max(0, from - 20), from + 60);
  return { what, error: 1, tolerance: 0, note: `…${part(a)}…, expected …${part(b)}…` };
}

export function holds(what: string, condition: boolean, note?: string): Check {
  return { what, error: condition ? 0 : 1, tolerance: 0, ...(note !== undefined && { note }) };
}
