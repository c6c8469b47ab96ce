import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { EpochRecord, EvaluationRecord, type Run, RunEvent, RunState, StateRecord, StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { CommandError } from '../exit-codes.js';
import { showProgress, throwIfFailed } from './follow-run.js';
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

test('the engine that a worker chose is said with its reason; that of a spec is not', () => {
  const claim = { attempt: 1, worker: 'w', succeeds: '' };
  const said: string[] = [];
  const progress = begin();
  const terminal = {
    interactive: false,
    columns: 80,
    out: () => undefined,
    err: (line: string) => said.push(line),
    status: () => undefined,
  };
  const view = showProgress(progress, { terminal: terminal as never });
  takeEvent(progress, event({ $case: 'claimed', value: { ...claim, engine: Engine.NATIVE, engineReason: '' } }));
  view.update('claimed');
  assert.deepEqual(said, []);
  takeEvent(progress, event({ $case: 'claimed', value: { ...claim, engine: Engine.WEBGPU, engineReason: 'it is faster' } }));
  view.update('claimed');
  view.close();
  assert.deepEqual(said, ['the worker chose the engine webgpu: it is faster']);
});

test('curves stand above the status line on a terminal that is large enough, and nowhere else', () => {
  const shown = (terminal: object, curves: boolean): readonly string[] => {
    let lines: readonly string[] = [];
    const progress = begin();
    const status = (...now: string[]) => {
      lines = now;
    };
    const out = { out: () => undefined, err: () => undefined, status, color: false };
    const view = showProgress(progress, { terminal: { ...out, ...terminal } as never }, { curves });
    takeEvent(progress, steps(0, 60));
    view.update('steps');
    const found = lines;
    view.close();
    return found;
  };
  const large = { interactive: true, columns: 100, rows: 40 };
  const lines = shown(large, true);
  assert.equal(lines.length, 9);
  assert.match(lines[0]!, /^training loss {2}0\.5/);
  assert.match(lines.at(-1)!, /60 %/);
  for (const [terminal, curves] of [
    [large, false],
    [{ ...large, rows: 12 }, true],
    [{ ...large, columns: 30 }, true],
    [{ ...large, interactive: false }, true],
  ] as const)
    assert.equal(shown(terminal, curves).length, 1);
});

test('nothing is drawn over a question, and what was held back is drawn after it', () => {
  const progress = begin();
  const drawn: string[] = [];
  let asks = true;
  const terminal = { interactive: true, columns: 100, err: () => undefined, status: (line: string) => drawn.push(line) };
  const view = showProgress(progress, { terminal: terminal as never }, { isHeld: () => asks });
  takeEvent(progress, steps(0, 60));
  view.update('steps');
  assert.deepEqual(drawn, []);
  asks = false;
  view.update('steps');
  view.close();
  assert.match(drawn[0]!, /60 %/);
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
  assert.equal(evaluationOf(progress, 0)?.scores?.top1, 80);
  assert.equal(evaluationOf(progress, 1), undefined);
});

const failed = (step: bigint, failure = 'the data is gone') =>
  event({ $case: 'evaluation', value: EvaluationRecord.fromPartial({ evaluation: 'e', checkpoint: `c${step}`, step, failure }) });
const scored = (step: bigint, top1: number) =>
  event({ $case: 'evaluation', value: EvaluationRecord.fromPartial({ step, result: { weights: { loss: 1, top1, top5: 99 } } }) });

test('an evaluation that failed has a reason and no scores; a later one of the same epoch with scores stands for it', () => {
  const progress = begin();
  takeEvent(progress, failed(50n));
  assert.deepEqual([evaluationOf(progress, 0)?.scores, evaluationOf(progress, 0)?.failure], [undefined, 'the data is gone']);
  takeEvent(progress, scored(50n, 60));
  takeEvent(progress, failed(50n));
  assert.equal(evaluationOf(progress, 0)?.scores?.top1, 60);
});

test('what is shown of a run says why evaluations failed, at once and only once, and never NaN', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }), (succeeds) => {
      const progress = beginProgress({ totalSteps: 200n, stepsPerEpoch: 50n, imagesPerStep: 64, evaluated: true });
      const lines: string[] = [];
      const err = (line: string) => void lines.push(line);
      const view = showProgress(progress, {
        terminal: { out: err, err, status: err, interactive: false, color: false, columns: 80 },
      });
      const take = (e: RunEvent) => {
        takeEvent(progress, e);
        view.update(e.event?.$case);
      };
      for (const [epoch, good] of succeeds.entries()) {
        take(steps(50 * epoch, 50 * (epoch + 1)));
        take(event({ $case: 'epoch', value: EpochRecord.fromPartial({ epoch, trainLoss: 1, imagesPerSecond: 10 }) }));
        take(good ? scored(BigInt(50 * (epoch + 1)), 50) : failed(BigInt(50 * (epoch + 1)), `reason ${epoch}.`));
      }
      view.close();
      const text = lines.join('\n');
      assert.doesNotMatch(text, /NaN|undefined/);
      for (const [epoch, good] of succeeds.entries()) {
        assert.equal(text.split(`epoch ${epoch + 1}: the evaluation failed: reason ${epoch}.`).length - 1, good ? 0 : 1, text);
        assert.match(text, new RegExp(`^ +${epoch + 1} .* ${good ? '50.00 %' : 'failed'}$`, 'm'));
      }
    }),
  );
});

test('a run fails the command if it failed, or if it was trained and no evaluation succeeded', () => {
  const run = { name: 'r', failure: '', evaluationsSucceeded: 0, evaluationsFailed: 0, evaluationFailure: '' };
  const failing = { ...run, evaluationsFailed: 2, evaluationFailure: 'the data is gone' };
  throwIfFailed({ ...run, state: RunState.SUCCEEDED });
  throwIfFailed({ ...failing, state: RunState.SUCCEEDED, evaluationsSucceeded: 1 });
  throwIfFailed({ ...failing, state: RunState.PAUSED });
  throwIfFailed({ ...failing, state: RunState.CANCELLED });
  const exits = (part: Partial<Run>, message: RegExp) =>
    assert.throws(
      () => throwIfFailed({ ...run, state: RunState.SUCCEEDED, ...part }),
      (error) => error instanceof CommandError && error.exitCode === 1 && message.test(error.message),
    );
  exits({ ...failing }, /all of its 2 evaluations failed: the data is gone/);
  exits({ ...failing, evaluationsFailed: 1 }, /its only evaluation failed: the data is gone/);
  exits({ state: RunState.FAILED, failure: 'no data' }, /r failed: no data/);
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
