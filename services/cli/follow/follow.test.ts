import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunEvent, RunState, StateRecord, StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { beginProgress, evaluationOf, secondsLeft, takeEvent } from './run-progress.js';
import { epochRow, statusLine } from './status-line.js';

const begin = () => beginProgress({ totalSteps: 100n, stepsPerEpoch: 50n, imagesPerStep: 64 });
let sequence = 0n;
const event = (e: NonNullable<RunEvent['event']>): RunEvent => ({ ...RunEvent.fromPartial({}), sequence: ++sequence, event: e });
const steps = (from: number, to: number) =>
  event({
    $case: 'steps',
    value: {
      steps: Array.from({ length: to - from }, (_, k) =>
        StepMetrics.fromPartial({
          step: BigInt(from + k),
          epoch: Math.floor((from + k) / 50),
          loss: 0.5,
          lr: 0.001,
          dropRate: 0.1,
          stepSeconds: 0.02,
        }),
      ),
    },
  });

test('steps give loss, speed and time left', () => {
  const progress = begin();
  assert.equal(secondsLeft(progress), undefined);
  takeEvent(progress, steps(0, 60));
  assert.equal(progress.step, 60);
  assert.ok(Math.abs(progress.imagesPerSecond! - 3200) < 1e-6);
  assert.ok(Math.abs(secondsLeft(progress)! - 0.8) < 1e-9);
  assert.equal(statusLine(progress), '60 %  0.8 s left  3,200 images/s  loss 0.500  lr 0.001  drop 0.1  epoch 2  step 60/100');
});

test('a resumed attempt goes back to its step', () => {
  const progress = begin();
  takeEvent(progress, steps(0, 60));
  takeEvent(progress, event({ $case: 'resumed', value: { fromStep: 50n, attempt: 2, checkpoint: '', fingerprintChanged: false } }));
  assert.deepEqual([progress.step, progress.attempt], [50, 2]);
});

test('the status line fits the terminal and keeps time left, speed and loss longest', () => {
  const progress = begin();
  assert.equal(statusLine(progress, 80), 'waiting for a worker');
  takeEvent(progress, steps(0, 60));
  for (const columns of [20, 40, 60, 79, 80, 120, 200]) {
    const line = statusLine(progress, columns);
    assert.ok(line.length < columns, `${columns}: ${line}`);
    if (columns >= 79) for (const part of ['left', 'images/s', 'loss', 'lr', 'drop']) assert.ok(line.includes(part), `${columns}: ${line}`);
  }
});

test('an evaluation belongs to the epoch at whose end its checkpoint was taken', () => {
  const progress = begin();
  const result = { samples: 10n, step: 50n, seconds: 1, weights: { loss: 1, top1: 80, top5: 99, classCorrect: [], classSamples: [] } };
  takeEvent(
    progress,
    event({ $case: 'evaluation', value: { evaluation: 'e', checkpoint: 'c', step: 50n, best: true, failure: '', result } }),
  );
  assert.equal(evaluationOf(progress, 0)?.top1, 80);
  assert.equal(evaluationOf(progress, 1), undefined);
});

test('the end carries its reason', () => {
  const progress = begin();
  takeEvent(progress, event({ $case: 'state', value: StateRecord.fromPartial({ state: RunState.FAILED, reason: 'loss is not finite' }) }));
  assert.deepEqual([progress.state, progress.reason], [RunState.FAILED, 'loss is not finite']);
});

test('rows of the epoch table stand under their titles', () => {
  const row = epochRow({ epoch: 0, loss: 0.5, lr: 3e-3, dropRate: 0, imagesPerSecond: 2400, top1: 88.5 });
  assert.equal(row.length, epochRow().length);
});
