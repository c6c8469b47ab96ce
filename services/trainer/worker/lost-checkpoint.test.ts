import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DropCutoff } from '#protocol/dropstream/v1/schedule_types.js';
import { Run } from '#protocol/dropstream/v1/trainer.js';
import { lacksCheckpoint } from './lost-checkpoint.js';

const spec = { saveCkpt: true, saveCkptFreq: 2, saveCkptSeconds: 0 };
const run = Run.fromPartial({ stepsPerEpoch: 5n, totalSteps: 43n });
const viewOf = (...steps: readonly (readonly [step: number, damaged?: boolean])[]) => ({
  run,
  checkpoints: steps.map(([step, damaged = false], sequence) => ({ name: `c${step}`, step, sequence, damaged })),
});

test('a checkpoint is missing if it was due at the step or before it, and no whole one is as new', () => {
  assert.equal(lacksCheckpoint(spec, viewOf(), 9), false);
  assert.equal(lacksCheckpoint(spec, viewOf(), 10), true);
  assert.equal(lacksCheckpoint(spec, viewOf(), 13), true, 'the leader was lost while it wrote that of step 10');
  assert.equal(lacksCheckpoint(spec, viewOf([10]), 13), false);
  assert.equal(lacksCheckpoint(spec, viewOf([10, true]), 13), true);
  assert.equal(lacksCheckpoint(spec, viewOf([20, true], [10]), 23), true);
  assert.equal(lacksCheckpoint(spec, viewOf([20], [10]), 23), false);
  assert.equal(lacksCheckpoint(spec, viewOf([40]), 43), true, 'the last step always has one');
});

test('a checkpoint by time may have been due at any step, and a run without checkpoints lacks none', () => {
  assert.equal(lacksCheckpoint({ ...spec, saveCkptSeconds: 60 }, viewOf(), 3), true);
  assert.equal(lacksCheckpoint({ ...spec, saveCkptSeconds: 60 }, viewOf([3]), 3), false);
  assert.equal(lacksCheckpoint({ ...spec, saveCkpt: false }, viewOf(), 20), false);
});

test('a checkpoint whose gradients are to be measured is due, although no other one is', () => {
  const adaptive = Run.fromPartial({ ...run, spec: { cutoff: DropCutoff.ADAPTIVE, cutoffEvery: 1, cutoffEpoch: 8 } });
  const view = (measuredStep: number) => ({ ...viewOf([5]), run: adaptive, cutoff: { measuredStep, notHelping: 1, ends: false } });
  const seldom = { ...spec, saveCkptFreq: 100 };
  assert.equal(lacksCheckpoint(seldom, view(10), 15), true);
  assert.equal(lacksCheckpoint(seldom, view(10), 14), false);
  assert.equal(lacksCheckpoint(seldom, view(15), 15), false, 'the log has its measurement');
  assert.equal(lacksCheckpoint(seldom, { ...view(10), ...viewOf([15]), run: adaptive }, 15), false);
});
