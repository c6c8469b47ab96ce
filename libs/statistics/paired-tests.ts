/** Two-sided tests of paired differences, and Holm's correction for several of them. */
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { deviationOf, meanOf } from './intervals.js';
import { tTwoSided } from './student-t.js';

/** Up to so many pairs, every choice of signs is tried; beyond, so many are drawn. */
const EXACT_PAIRS = 20;
const DRAWN = 100_000;

/** p-value of the paired t test; undefined for fewer than two pairs, or if all differences are equal, which the test cannot judge. */
export function pairedT(differences: readonly number[]): number | undefined {
  const n = differences.length;
  if (n < 2) return undefined;
  const deviation = deviationOf(differences);
  // Differences that are equal on paper differ in their last bits here, and p would be next to 0.
  if (deviation <= 1e-12 * differences.reduce((largest, difference) => Math.max(largest, Math.abs(difference)), 0)) return undefined;
  return tTwoSided(meanOf(differences) / (deviation / Math.sqrt(n)), n - 1);
}

export interface SignFlip {
  readonly p: number;
  /** False: the choices of signs were drawn. */
  readonly exact: boolean;
}

/**
 * The share of all choices of signs for which the sum of the differences is at least as far from 0 as it is. No distribution is assumed; with n pairs, p is
 * at least 2 / 2ⁿ. Undefined without pairs.
 */
export function signFlip(differences: readonly number[], purpose: string): SignFlip | undefined {
  const n = differences.length;
  if (n === 0) return undefined;
  const size = differences.reduce((sum, difference) => sum + Math.abs(difference), 0);
  // Sums that are equal on paper differ in their last bits here.
  const least = Math.abs(differences.reduce((sum, difference) => sum + difference, 0)) - 1e-12 * size;
  if (n <= EXACT_PAIRS) {
    let [sum, extreme] = [-differences.reduce((all, difference) => all + difference, 0), 0];
    const signs = new Int8Array(n).fill(-1);
    // In Gray's order, one sign changes from each choice to the next.
    for (let k = 0; k < 2 ** n; k++) {
      if (Math.abs(sum) >= least) extreme++;
      const changed = k + 1 < 2 ** n ? 31 - Math.clz32((k + 1) & -(k + 1)) : 0;
      signs[changed]! *= -1;
      sum += 2 * signs[changed]! * differences[changed]!;
    }
    return { p: extreme / 2 ** n, exact: true };
  }
  const draws = new PhiloxDraws(purposeKey(0n, `sign flip ${purpose}`));
  let extreme = 0;
  for (let k = 0; k < DRAWN; k++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += draws.word(k * n + i) & 1 ? differences[i]! : -differences[i]!;
    if (Math.abs(sum) >= least) extreme++;
  }
  // The choice that was observed counts as one of those drawn, so that p is never 0.
  return { p: (extreme + 1) / (DRAWN + 1), exact: false };
}

/** Holm's correction: p-values of one family, in their order, such that those below α are wrong together with a probability of at most α. */
export function holm(values: readonly (number | undefined)[]): (number | undefined)[] {
  const known = values.flatMap((p, at) => (p === undefined ? [] : [{ p, at }])).sort((a, b) => a.p - b.p);
  const corrected: (number | undefined)[] = values.map(() => undefined);
  let highest = 0;
  for (const [rank, { p, at }] of known.entries()) {
    highest = Math.max(highest, Math.min(1, (known.length - rank) * p));
    corrected[at] = highest;
  }
  return corrected;
}
