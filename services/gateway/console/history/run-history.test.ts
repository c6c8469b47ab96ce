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
    event({ cutoffMeasured: { step: '10', errorWithDrop: 0.31, errorWithoutDrop: 0.3, notHelping: 1, dropRate: 0.1 } }),
    event({ cutoffMeasured: { step: '20', errorWithDrop: 0.29, errorWithoutDrop: 0.3, dropRate: 0.1 } }),
    event({ cutoffMeasured: { step: '30', failure: 'the evaluation was cancelled', dropRate: 0.1 } }),
    event({ cutoffMeasured: { step: '40', errorWithDrop: 0.31, errorWithoutDrop: 0.3, notHelping: 2, endsAtStep: '50', segments: [] } }),
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
    [
      'The evaluation of c1',
      'The gradients at ste',
      'A sample could not b',
      'Checkpoint c9 cannot',
      'The run waits for th',
      'The run failed: the ',
    ],
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

test('a loss that is no number, and the failure of a run, are marked where they happen', () => {
  const history = trained();
  history.take(event({ steps: { steps: [{ step: '25', loss: 'NaN' as never }] } }));
  history.addEvaluation({ checkpoint: 'c1', step: '26', result: { weights: { loss: 'Infinity' as never } } });
  history.take(event({ state: { state: 'RUN_STATE_FAILED', reason: 'the loss is not finite.' } }));
  assert.deepEqual(
    history.marks.filter(({ kind }) => kind === 'failure').map(({ step, text }) => [step, text]),
    [
      [25, 'loss NaN'],
      [26, 'evaluation loss ∞'],
      [25, 'the run failed'],
    ],
  );
});

test('an attempt that failed before its first step is marked where it went on', () => {
  const history = new RunHistory(10);
  history.take(event({ resumed: { attempt: 2, fromStep: '9000', checkpoint: 'c1' } }));
  history.take(event({ state: { state: 'RUN_STATE_FAILED', reason: 'the data is gone.' } }));
  assert.deepEqual(
    history.marks.map(({ kind, step }) => [kind, step]),
    [
      ['resume', 9000],
      ['failure', 9000],
    ],
  );
});

test('the members are those of the newest generation, as long as there are several', () => {
  const history = trained();
  const of = (...workers: string[]) =>
    history.take(event({ group: { members: workers.map((worker) => ({ worker, leaves: [0] })), fromStep: '25' } }));
  of('w1', 'w2');
  assert.deepEqual(
    history.group?.members?.map(({ worker }) => worker),
    ['w1', 'w2'],
  );
  of('w1');
  assert.equal(history.group, undefined);
  of('w1', 'w3');
  history.take(event({ state: { state: 'RUN_STATE_PAUSED' } }));
  assert.equal(history.group, undefined);
});

test('older records come before those that are known, and replace nothing of them', () => {
  const numbered = (at: number, what: Event): Event => ({ sequence: String(at), time: '2026-11-30T10:00:00Z', ...what });
  const history = new RunHistory(10);
  history.take(numbered(1, { created: { trainSamples: '640' } }));
  history.unreadUntil = 900;
  history.take(numbered(901, { epoch: { epoch: 1, trainLoss: 1 } }));
  history.addEvaluation({ evaluation: 'e2', step: '20' });
  const older = [
    numbered(400, { epoch: { epoch: 0, trainLoss: 4 } }),
    numbered(450, { evaluation: { evaluation: 'e1', step: '10', failure: 'the data is gone' } }),
    numbered(500, { epoch: { epoch: 0, trainLoss: 3 } }),
    numbered(501, { checkpoint: { checkpoint: 'c1', step: '10' } }),
    numbered(502, { epoch: { epoch: 1, trainLoss: 2 } }),
  ];
  assert.equal(history.takeOlder(older, 300), 5);
  assert.deepEqual(
    history.lines.map(({ sequence }) => sequence),
    ['1', '400', '450', '500', '501', '502', '901'],
  );
  assert.deepEqual([history.epochs.get(0)?.trainLoss, history.epochs.get(1)?.trainLoss, history.unreadUntil], [3, 1, 300]);
  assert.deepEqual(
    history.evaluations.map(({ record }) => record.evaluation),
    ['e1', 'e2'],
    'the last one is the newest',
  );
  assert.deepEqual([history.sequence, history.marks.map(({ kind }) => kind)], ['901', ['evaluation', 'checkpoint', 'evaluation']]);
  assert.equal(history.takeOlder([], 1), 0);
  assert.equal(history.unreadUntil, 0);
});
