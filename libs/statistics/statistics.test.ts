/** Compares with SciPy's values (test-data/golden.py). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { bootstrapInterval, deviationOf, meanOf, quantile, tInterval } from './intervals.js';
import { holm, pairedT, signFlip } from './paired-tests.js';
import { tCritical, tTwoSided } from './student-t.js';

interface Golden {
  readonly t: readonly { readonly freedom: number; readonly t: number; readonly two_sided: number; readonly critical: number }[];
  readonly samples: Readonly<
    Record<
      string,
      {
        readonly values: number[];
        readonly mean: number;
        readonly deviation: number;
        readonly interval: [number, number];
        readonly paired_t: number;
        readonly sign_flip: number;
        readonly bootstrap: [number, number];
      }
    >
  >;
}
const golden = JSON.parse(readFileSync(new URL('test-data/golden.json', import.meta.url), 'utf8')) as Golden;

const near = (is: number | undefined, wanted: number, relative: number, what: string) =>
  assert.ok(is !== undefined && Math.abs(is - wanted) <= relative * Math.max(Math.abs(wanted), 1e-300), `${what}: ${is}, not ${wanted}`);

/** The mean of every resample, in any order. */
function allResamples(values: readonly number[]): number[] {
  let sums = [0];
  for (const _ of values) sums = sums.flatMap((sum) => values.map((value) => sum + value));
  return sums.map((sum) => sum / values.length);
}

test("probabilities and quantiles of the t distribution are SciPy's", () => {
  for (const { freedom, t, two_sided, critical } of golden.t) {
    near(tTwoSided(t, freedom), two_sided, 1e-11, `P(|T| ≥ ${t}), ${freedom}`);
    near(tCritical(0.05, freedom), critical, 1e-11, `quantile, ${freedom}`);
  }
  assert.equal(tTwoSided(Number.POSITIVE_INFINITY, 3), 0);
});

for (const [name, sample] of Object.entries(golden.samples))
  test(`sample "${name}": mean, intervals and tests are SciPy's`, () => {
    const { values } = sample;
    near(meanOf(values), sample.mean, 1e-14, 'mean');
    near(deviationOf(values), sample.deviation, 1e-12, 'deviation');
    for (const end of [0, 1] as const) {
      near(tInterval(values)?.[end], sample.interval[end], 1e-11, 't interval');
    }
    const [low, high] = bootstrapInterval(values, name)!;
    if (values.length > 7) {
      // Both are drawn: the ends of 10,000 resamples move by some hundredths of the deviation of the mean.
      const moved = Math.max(Math.abs(low - sample.bootstrap[0]), Math.abs(high - sample.bootstrap[1]));
      assert.ok(moved <= (0.1 * sample.deviation) / Math.sqrt(values.length), `bootstrap moved by ${moved}`);
    } else {
      const means = allResamples(values);
      const share = (holds: (mean: number) => boolean) => means.filter(holds).length / means.length;
      // Few values have few different means, so an end is one that the 2.5 % lie at, give or take what drawing 10,000 moves (four deviations).
      const slack = 4 * Math.sqrt((0.025 * 0.975) / 10_000);
      assert.ok(
        share((mean) => mean < low - 1e-12) <= 0.025 + slack && share((mean) => mean <= low + 1e-12) >= 0.025 - slack,
        `low end ${low}`,
      );
      assert.ok(
        share((mean) => mean > high + 1e-12) <= 0.025 + slack && share((mean) => mean >= high - 1e-12) >= 0.025 - slack,
        `high end ${high}`,
      );
    }
    near(pairedT(values), sample.paired_t, 1e-10, 'paired t');
    assert.deepEqual(signFlip(values, name), { p: sample.sign_flip, exact: true });
  });

test('what cannot be judged has no value', () => {
  assert.deepEqual([tInterval([1]), bootstrapInterval([1], 'x'), pairedT([1]), pairedT([0.5, 0.5])], Array(4).fill(undefined));
  // Equal on paper: 0.1 each.
  assert.deepEqual([pairedT([0.1, 0.1, 0.1]), pairedT([50.3 - 50.2, 60.3 - 60.2, 0.4 - 0.3])], [undefined, undefined]);
  assert.equal(signFlip([], 'x'), undefined);
  assert.deepEqual(signFlip([0, 0, 0], 'x'), { p: 1, exact: true });
});

test('with many pairs the signs are drawn, always alike, and near the exact share', () => {
  const values = Array.from({ length: 20 }, (_, k) => Math.sin(k) + 0.3);
  const exact = signFlip(values, 'a')!;
  // A difference of 0 changes no sum, but makes them too many to try all.
  const drawn = signFlip([...values, 0], 'a')!;
  assert.deepEqual([exact.exact, drawn.exact], [true, false]);
  assert.ok(Math.abs(exact.p - drawn.p) < 0.01, `${exact.p} ${drawn.p}`);
  assert.deepEqual(signFlip([...values, 0], 'a'), drawn);
  assert.notEqual(signFlip([...values, 0], 'b')!.p, drawn.p);
});

test('a bootstrap is a function of values and purpose', () => {
  const values = [0.1, 0.5, 0.2, 0.9, 0.4];
  assert.deepEqual(bootstrapInterval(values, 'a'), bootstrapInterval([...values], 'a'));
  assert.notDeepEqual(bootstrapInterval(values, 'a'), bootstrapInterval(values, 'b'));
});

test("Holm's correction by hand, in the order of the values, never above 1", () => {
  assert.deepEqual(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]);
  assert.deepEqual(holm([0.9, undefined, 0.5]), [1, undefined, 1]);
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }), (values) => {
      for (const [k, p] of holm(values).entries()) assert.ok(p! >= values[k]! && p! <= 1);
    }),
  );
});

test('quantiles lie between neighbours', () => {
  assert.deepEqual(
    [0, 0.25, 0.5, 1].map((share) => quantile([1, 2, 4, 8, 16], share)),
    [1, 2, 4, 16],
  );
});
