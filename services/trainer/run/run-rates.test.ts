import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { addStep, emptySums, epochRecord, meanLoss } from '../worker/epoch-means.js';
import { modelCatalog } from './model-catalog.js';
import { dropRateAt, dropSegments, runRates } from './run-rates.js';
import { resolveRunSpec } from './run-spec.js';

const data = { samples: 100, classes: ['a', 'b'] };
const resolve = (part: object) =>
  resolveRunSpec(RunSpec.fromPartial({ model: 'vit_nano_p7', epochs: 4, warmupEpochs: 1, ...part }), modelCatalog, data);

test('learning rate, weight decay and drop rate of the recipe, by step', () => {
  const spec = resolve({
    lr: 1,
    minLr: 0,
    weightDecay: 0.1,
    weightDecayEnd: 0.1,
    dropout: 0.2,
    dropMode: DropMode.EARLY,
    dropSchedule: DropSchedule.LINEAR,
    cutoffEpoch: 2,
  });
  const segments = dropSegments(spec, 5);
  const rates = runRates(spec, 5, () => [{ effectiveStep: 0, segments }]);
  assert.deepEqual(
    [0, 2, 4, 5].map((step) => rates(step).lr),
    [0, 0.5, 1, 1],
  );
  assert.deepEqual([rates(0).dropRate, rates(9).dropRate, rates(10).dropRate], [0.2, 0, 0]);
  assert.equal(rates(19).weightDecay, 0.1);
});

test('a change holds from its step on, and the last one in the log wins, also after a resume', () => {
  const constant = (dropout: number) => dropSegments(resolve({ dropout }), 5);
  const changes = [
    { effectiveStep: 0, segments: constant(0.1) },
    { effectiveStep: 12, segments: constant(0.2) },
    { effectiveStep: 8, segments: constant(0.3) },
  ];
  const at = (step: number, count: number) => dropRateAt(changes.slice(0, count), step);
  assert.deepEqual([at(7, 2), at(11, 2), at(12, 2)], [0.1, 0.1, 0.2]);
  assert.deepEqual([at(7, 3), at(8, 3), at(12, 3)], [0.1, 0.3, 0.3]);
});

test('means of an epoch do not depend on where an attempt was cut, through JSON', () => {
  const steps = Array.from({ length: 7 }, (_, k) =>
    StepMetrics.fromPartial({ step: BigInt(k), loss: Math.fround(1 / (k + 3)), lr: 0.1 * k, gradNorm: k }),
  );
  const whole = steps.reduce(addStep, emptySums(2));
  for (let cut = 0; cut <= steps.length; cut++) {
    const first = JSON.parse(JSON.stringify(steps.slice(0, cut).reduce(addStep, emptySums(2)))) as typeof whole;
    assert.deepEqual(steps.slice(cut).reduce(addStep, first), whole);
  }
  const record = epochRecord(whole, 70, 2);
  assert.deepEqual([record.epoch, record.imagesPerSecond, record.trainMinLr, record.trainClassAcc], [2, 35, 0, undefined]);
  assert.equal(record.trainGradNorm, 3);
});

test('the mean loss is summed in order and rounded once', () => {
  const losses = Float32Array.of(1e8, 1, -1e8, 3);
  assert.equal(meanLoss(losses), Math.fround((1e8 + 1 - 1e8 + 3) / 4));
});
