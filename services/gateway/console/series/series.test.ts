import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { spread } from './bands.js';
import { downsample, lowerBound } from './downsample.js';
import { smooth } from './smooth.js';
import { sparkPath, sparkPoints } from './spark.js';

const values = fc.array(fc.oneof({ weight: 9, arbitrary: fc.double({ min: -1e6, max: 1e6, noNaN: true }) }, fc.constant(Number.NaN)), {
  minLength: 1,
  maxLength: 3000,
});
const steps = (length: number) => Float64Array.from({ length }, (_, k) => 3 * k);

test('thinned curves keep the first, the last, the lowest and the highest value of what is shown, in order, and stay small', () => {
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 300 }), (all, columns) => {
      const y = Float64Array.from(all);
      const x = steps(y.length);
      const thin = downsample(x, y, 0, x.at(-1)!, columns);
      assert.ok(thin.x.length <= 4 * columns || thin.x.length === x.length);
      assert.ok(thin.x.every((step, k) => k === 0 || step > thin.x[k - 1]!));
      assert.deepEqual([thin.x[0], thin.x.at(-1)], [x[0], x.at(-1)]);
      const finite = (of: Float64Array) => [...of].filter(Number.isFinite);
      assert.equal(Math.min(...finite(thin.y)), Math.min(...finite(y)));
      assert.equal(Math.max(...finite(thin.y)), Math.max(...finite(y)));
      for (const [k, step] of thin.x.entries()) assert.ok(Object.is(thin.y[k], y[step / 3]));
    }),
  );
});

test('a zoom where few points are left shows each of them', () => {
  const x = steps(1_000_000);
  const y = x.map((step) => Math.sin(step));
  const thin = downsample(x, y, 300_000, 300_300, 100);
  assert.deepEqual([...thin.x], [...x.subarray(99_999, 100_101)]);
});

test('a place is found by halving', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 })), fc.integer({ min: -1, max: 51 }), (numbers, value) => {
      const sorted = numbers.toSorted((a, b) => a - b);
      const found = sorted.findIndex((number) => number >= value);
      assert.equal(lowerBound(sorted, value), found < 0 ? sorted.length : found);
    }),
  );
});

test('smoothing keeps constants, starts at the first value, and passes over gaps', () => {
  assert.ok(smooth([2, 2, 2], 0.9).every((value) => Math.abs(value - 2) < 1e-12));
  const [first, gap, next] = smooth([4, Number.NaN, 4], 0.99);
  assert.ok(Math.abs(first! - 4) < 1e-12 && Number.isNaN(gap!) && Math.abs(next! - 4) < 1e-12);
  assert.deepEqual([...smooth([1, 5, 3], 0)], [1, 5, 3]);
});

test('short curves', () => {
  assert.equal(sparkPath([], 96, 22), '');
  assert.equal(sparkPath([1], 96, 22), 'M1 11.0L95.0 11.0');
  assert.equal(sparkPath([0, 1], 12, 12), 'M1.0 11.0L11.0 1.0');
  assert.ok(
    sparkPoints(
      Float64Array.from({ length: 5000 }, (_, k) => Math.sin(k)),
      60,
    ).length <= 240,
  );
});

test('the spread of curves is over the steps that all have', () => {
  const of = (x: number[], y: number[]) => ({ x: Float64Array.from(x), y: Float64Array.from(y) });
  const { x, mean, low, high } = spread([
    of([0, 1, 2, 3], [1, 1, 1, 1]),
    of([1, 2, 3], [3, 5, Number.NaN]),
    of([0, 1, 2, 3], [5, 2, 3, 4]),
  ]);
  assert.deepEqual(
    [[...x], [...mean], [...low], [...high]],
    [
      [1, 2],
      [2, 3],
      [1, 1],
      [3, 5],
    ],
  );
  assert.equal(spread([]).x.length, 0);
});
