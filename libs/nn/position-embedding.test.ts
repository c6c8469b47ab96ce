import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fillParameter } from '../../test/support/fixtures.js';
import { gridSide, resamplePositions } from './position-embedding.js';

/** timm 1.0.31's resample_abs_pos_embed (torch 2.15, float32) of values by the fixtures' formula; `at`: flat indices, absent: all. */
const golden = [
  {
    from: 3,
    to: 5,
    dim: 1,
    at: undefined,
    values: [
      0.00756156677, -0.0401614606, -0.0259877425, 0.00144951965, 0.0367790461, 0.0571022145, -0.0285240635, -0.00941186771, 0.016974153,
      0.00319549278, -0.00898763258, -0.0130264256, 0.00948076509, 0.0294107571, -0.0513128862, -0.107232496, -0.0247084443, -0.0255741887,
      -0.0338540114, -0.0742361695, -0.10011524, -0.0342487581, -0.0510329306, -0.0773139969, -0.083209388, -0.0841095373,
    ],
    sum: -0.711093724,
    norm: 0.25533579,
  },
  {
    from: 5,
    to: 3,
    dim: 2,
    at: undefined,
    values: [
      -0.00689988723, -0.0539822616, 0.0412114896, 0.0436675102, 0.0210149549, 0.0378422625, 0.0350617319, -0.0172033664, 0.00865323842,
      0.0120967468, 0.000588842551, 0.0297665093, -0.0113314474, 0.0199989304, 0.00457453076, 0.00686064735, -0.0111873932, 0.0209860764,
      -0.023216892, -0.0399962179,
    ],
    sum: 0.118506005,
    norm: 0.119892149,
  },
  {
    from: 14,
    to: 24,
    dim: 3,
    at: [0, 3, 4, 247, 577, 865, 1154, 1729, 1730],
    values: [
      -0.070690535, 0.00737169711, -0.00443044119, -0.0472320244, -0.0737216398, 0.0391780101, 0.00576839643, 0.0698343888, 0.046818465,
    ],
    sum: -9.3593705,
    norm: 1.973349,
  },
  {
    from: 24,
    to: 14,
    dim: 3,
    at: [0, 3, 4, 84, 197, 295, 394, 589, 590],
    values: [
      -0.0240542963, 0.0180096701, 0.0177106578, 0.00263217348, -0.0156566426, -0.011843347, 0.0194828939, 0.0294652153, -0.0376393087,
    ],
    sum: 0.394363291,
    norm: 0.695131708,
  },
  { from: 2, to: 1, dim: 1, at: undefined, values: [0.0477957763, 0.00494756084], sum: 0.0527433371, norm: 0.0480511664 },
  {
    from: 1,
    to: 3,
    dim: 1,
    at: undefined,
    values: [
      -0.0635035783, 0.0847464278, 0.0847464278, 0.0847464278, 0.0847464278, 0.0847464278, 0.0847464278, 0.0847464278, 0.0847464278,
      0.0847464278,
    ],
    sum: 0.699214272,
    norm: 0.26205022,
  },
];

for (const { from, to, dim, at, values, sum, norm } of golden) {
  test(`a grid of ${from} becomes one of ${to} as timm's does`, () => {
    const shape = [1, 1 + from * from, dim];
    const found = resamplePositions(fillParameter(`positions/${from}-${to}`, 'pos_embed', shape), shape, to);
    assert.equal(found.length, (1 + to * to) * dim);
    for (const [k, value] of values.entries()) {
      const index = at?.[k] ?? k;
      assert.ok(Math.abs(found[index]! - value) < 1e-7, `element ${index}: ${found[index]}, timm has ${value}`);
    }
    const total = found.reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(total - sum) < 1e-5, `sum ${total}, timm has ${sum}`);
    assert.ok(Math.abs(Math.hypot(...found) - norm) < 1e-6, `norm ${Math.hypot(...found)}, timm has ${norm}`);
  });
}

test('a constant embedding stays constant, the class token stays whatever it is, equal sides change nothing', () => {
  const side = fc.integer({ min: 1, max: 20 });
  fc.assert(
    fc.property(side, side, fc.integer({ min: 1, max: 3 }), (from, to, dim) => {
      const shape = [1, 1 + from * from, dim];
      const flat = new Float32Array((1 + from * from) * dim).fill(0.25);
      flat.fill(7, 0, dim);
      const resampled = resamplePositions(flat, shape, to);
      assert.ok(resampled.subarray(0, dim).every((value) => value === 7));
      assert.ok(resampled.subarray(dim).every((value) => Math.abs(value - 0.25) < 1e-7));
      const values = fillParameter('same', 'pos_embed', shape);
      assert.deepEqual(resamplePositions(values, shape, from), values);
    }),
    { seed: 4, numRuns: 100 },
  );
});

test('only square grids behind one class token have a side', () => {
  assert.deepEqual(
    [
      [1, 197, 192],
      [1, 2, 8],
      [1, 196, 192],
      [1, 1, 8],
      [2, 5, 8],
      [197, 192],
      [1, 5, 8, 1],
    ].map((shape) => gridSide(shape)),
    [14, 1, undefined, undefined, undefined, undefined, undefined],
  );
  assert.throws(() => resamplePositions(new Float32Array(8), [1, 8, 1], 2), /shape: \[1,8,1\]/);
  assert.throws(() => resamplePositions(new Float32Array(8), [1, 10, 1], 2), /values: 8/);
});
