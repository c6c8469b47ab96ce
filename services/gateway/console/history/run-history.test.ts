import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Event } from '../api/watch-run.js';
import { RunHistory } from './run-history.js';
import { sentenceOf } from './sentences.js';

let sequence = 0;
const event = (what: Event): Event => ({ sequence: String(++sequence), time: '2026-11-30T10:00:00Z', ...what });
const steps = (from: number, to: number, loss = 1): Event =>
  event({
    steps: { steps: Array.from({ length: to - from }, (_, k) => ({ step: String(from + k), loss, stepSeconds: 0.5, gradNorm: 2 })) },
  });

function trained(): RunHistory {
  const history = new RunHistory(10);
  history.take(
    event({
      created: {
        state: 'RUN_STATE_QUEUED',
        classes: ['ant', 'bee'],
        trainSamples: '640',
        run: { dropSegments: [{ start: '0', end: '30', startValue: 0.1, endValue: 0 }] },
      },
    }),
  );
  history.take(event({ claimed: { attempt: 1, worker: 'w1' } }));
  history.take(event({ resumed: { attempt: 1 } }));
  history.take(steps(0, 25));
  history.take(event({ epoch: { epoch: 0, trainLoss: 1 } }));
  history.take(event({ epoch: { epoch: 1, trainLoss: 1 } }));
  history.take(event({ checkpoint: { checkpoint: 'projects/p/runs/r/checkpoints/c1', step: '10' } }));
  return history;
}

test('an attempt that goes on earlier replaces the steps and epochs after its checkpoint, and is marked', () => {
  const history = trained();
  history.take(event({ claimed: { attempt: 2, worker: 'w2' } }));
  history.take(event({ resumed: { attempt: 2, fromStep: '10', checkpoint: 'projects/p/runs/r/checkpoints/c1' } }));
  assert.deepEqual([history.steps.length, history.steps.steps.at(-1), [...history.epochs.keys()]], [10, 9, [0]]);
  history.take(steps(10, 12, 3));
  assert.deepEqual([...history.steps.column('loss').subarray(8)], [1, 1, 3, 3]);
  assert.deepEqual(
    history.marks.map(({ kind, step }) => [kind, step]),
    [
      ['checkpoint', 10],
      ['resume', 10],
    ],
  );
  assert.deepEqual([history.state, history.attempt, history.worker, history.secondsPerStep], ['running', 2, 'w2', 0.5]);
});

test('columns grow and keep their values, and an absent accuracy is no 0', () => {
  const history = new RunHistory(10);
  for (let from = 0; from < 5000; from += 500) history.take(steps(from, from + 500, from));
  assert.equal(history.steps.length, 5000);
  assert.equal(history.steps.column('loss')[4999], 4500);
  assert.ok(history.steps.column('classAcc').every(Number.isNaN));
  assert.ok(history.steps.column('lr').every((lr) => lr === 0));
});

test('every event but trained steps is a line of the log, as a whole sentence', () => {
  const history = trained();
  const events: Event[] = [
    event({
      evaluation: {
        checkpoint: 'projects/p/runs/r/checkpoints/c1',
        step: '10',
        best: true,
        result: { weights: { top1: 61.5, top5: 90, loss: 1.25 } },
      },
    }),
    event({ evaluation: { checkpoint: 'projects/p/runs/r/checkpoints/c1', step: '10', failure: 'the data is gone.' } }),
    event({ scheduleChanged: { revision: '2', effectiveStep: '12', segments: [] } }),
    event({ dataSkipped: { paths: ['a.jpg'], total: '1' } }),
    event({ checkpointSkipped: { checkpoint: 'c9', reason: 'weights are damaged.' } }),
    event({ group: { generation: '1', members: [{ worker: 'w1', leaves: [0, 1, 2] }], fromStep: '10' } }),
    event({
      group: {
        generation: '2',
        members: [
          { worker: 'w1', leaves: [0] },
          { worker: 'w2', leaves: [1, 2] },
        ],
        fromStep: '11',
        reason: 'w2 joined',
      },
    }),
    event({ pauseRequested: {} }),
    event({ status: { message: 'waits for the data service' } }),
    event({ status: {} }),
    event({ state: { state: 'RUN_STATE_PAUSED' } }),
    event({ state: { state: 'RUN_STATE_QUEUED', released: true } }),
    event({ state: { state: 'RUN_STATE_FAILED', reason: 'the loss is not finite.' } }),
  ];
  for (const each of events) history.take(each);
  assert.equal(sentenceOf(steps(0, 1)), undefined);
  assert.equal(history.lines.length, 6 + events.length);
  for (const { text, time } of history.lines) {
    assert.match(text, /^\S.*[.\d]$/);
    assert.doesNotMatch(text, /undefined|NaN|RUN_STATE|\[object/);
    assert.ok(time instanceof Date);
  }
  assert.deepEqual(
    history.lines.filter(({ tone }) => tone === 'trouble').map(({ text }) => text.slice(0, 20)),
    ['The evaluation of c1', 'A sample could not b', 'Checkpoint c9 cannot', 'The run waits for th', 'The run failed: the '],
  );
  assert.equal(history.evaluations.length, 2);
});

test('an evaluation counts once, and a top-1 of 0, which JSON leaves out, is no failure', () => {
  const history = trained();
  const record = { evaluation: 'projects/p/evaluations/e1', checkpoint: 'projects/p/runs/r/checkpoints/c1', step: '10' };
  history.addEvaluation({ ...record, result: { weights: { loss: 7 } } });
  history.take(event({ evaluation: { ...record, result: { weights: { loss: 7 } } } }));
  history.addEvaluation({ ...record, evaluation: 'projects/p/evaluations/e2', failure: 'the data is gone.' });
  assert.equal(history.evaluations.length, 2);
  assert.deepEqual(
    history.marks.slice(-2).map(({ text }) => text),
    ['top-1 0.00 %', 'evaluation failed'],
  );
});

test('the log of a run that lives long is bounded', () => {
  const history = new RunHistory(10);
  for (let k = 0; k < 2500; k++) history.take(event({ checkpoint: { checkpoint: `c${k}`, step: String(k) } }));
  assert.ok(history.lines.length <= 2000 && history.marks.length <= 2001);
  assert.match(history.lines.at(-1)!.text, /c2499/);
});
