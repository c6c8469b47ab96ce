import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Precision } from '#protocol/dropstream/v1/engine_types.js';
import { gradientPrecision } from './gradient-spec.js';

test('gradients of a run in f16 are measured in fp32, because their losses are not scaled', () => {
  const given = [Precision.F16, Precision.BF16, Precision.FP32, undefined];
  assert.deepEqual(
    given.map((precision) => gradientPrecision({ precision })),
    [Precision.FP32, Precision.BF16, Precision.FP32, undefined],
  );
});
