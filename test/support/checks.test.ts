import assert from 'node:assert/strict';
import { test } from 'node:test';
import { absolute, assertChecks, largestDifference, passes, relative, same, worstOf } from './checks.js';
import { gradientChecks } from './golden-model.js';

test('what is no finite number never passes, on either side', () => {
  for (const [error, tolerance] of [
    [Number.NaN, 1],
    [0, Number.NaN],
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    [0, Number.POSITIVE_INFINITY],
    [-1, 0],
    [1e-9, 0],
  ] as const)
    assert.ok(!passes({ what: '', error, tolerance }), `${error} against ${tolerance}`);
  assert.ok(passes({ what: '', error: 0, tolerance: 0 }) && passes({ what: '', error: 1e-5, tolerance: 1e-5 }));
  assert.ok(!passes(absolute('', Number.NaN, 0, 1)) && !passes(absolute('', 0, Number.NaN, 1)));
  assert.ok(!passes(relative('', 1e-300, 0, 1)) && passes(relative('', 0, 0, 0)) && !passes(relative('', 1, Number.POSITIVE_INFINITY, 1)));
});

test('lists differ by their worst value, wherever NaN stands; lists of other lengths and empty ones never agree', () => {
  assert.deepEqual(largestDifference('', [1, 2, 3], [1, 2.5, 3.1], 1).error, 0.5);
  for (const actual of [
    [Number.NaN, 9, 9],
    [1, Number.NaN, 9],
    [1, 2, Number.NaN],
    [1, 2],
    [1, 2, 3, 4],
  ])
    assert.ok(!passes(largestDifference('', actual, [1, 2, 3], 100)), String(actual));
  assert.ok(!passes(largestDifference('', [], [], 1)));
  assert.ok(!passes(same('', undefined, undefined)) && !passes(same('', [1], [1, 2])) && passes(same('', { a: [1] }, { a: [1] })));
});

test('the worst check is the one nearest to failing, any failure before it; none at all is an error', () => {
  const checks = [absolute('far', 5, 0, 100), absolute('near', 0.9, 0, 1), absolute('bad', 1e-9, 0, 0)];
  assert.equal(worstOf(checks).what, 'bad');
  assert.equal(worstOf(checks.slice(0, 2)).what, 'near');
  assert.throws(() => worstOf([]), /nothing was compared/);
  assert.throws(() => assertChecks([]), /nothing was compared/);
  assert.throws(() => assertChecks(checks, 'context'), /context bad: off by 1e-9, allowed 0/);
});

test('gradients: by parameter in fp32, as a whole in bf16', () => {
  const expected: Record<string, number[]> = { large: [3, 4], small: [1e-6, 0] };
  const of = (values: Record<string, number[]>, precision: 'fp32' | 'bf16') =>
    gradientChecks(
      Object.keys(expected),
      (name) => values[name]!,
      (name) => expected[name]!,
      precision,
    ).map(passes);
  // Allowed: 1e-4 of 5, and 1e-4 of a thousandth of 5.
  assert.deepEqual(of({ large: [3, 4.0004], small: [1e-6 + 4e-7, 0] }, 'fp32'), [true, true]);
  assert.deepEqual(of({ large: [3, 4.0006], small: [1e-6 + 6e-7, 0] }, 'fp32'), [false, false]);
  assert.deepEqual(of({ large: [3], small: [Number.NaN, 0] }, 'fp32'), [false, false]);
  assert.deepEqual(of({ large: [3.2, 4.2], small: [0, 0] }, 'bf16'), [true, true]);
  // Longer by a fifth: the same direction.
  assert.deepEqual(of({ large: [3.6, 4.8], small: [0, 0] }, 'bf16'), [true, false]);
  assert.deepEqual(of({ large: [3.6, 3.4], small: [0, 0] }, 'bf16'), [false, false]);
  assert.deepEqual(of({ large: [3, Number.NaN], small: [0, 0] }, 'bf16'), [false, false]);
});
