import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import { Run, RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { applyEvent, BrokenRunLog, decodeView, encodeView, type RunView } from './run-state.js';

type Body = NonNullable<RunEvent['event']>;
const name = 'projects/p/runs/r';
const createdBody: Body = {
  $case: 'created',
  value: {
    state: RunState.QUEUED,
    reason: '',
    run: Run.fromPartial({ name, totalSteps: 100n, stepsPerEpoch: 10n, spec: { model: 'm' } }),
    trainSamples: 640n,
    specDigest: 'd',
    requestId: '',
    traceparent: '',
    tracestate: '',
    classes: ['a', 'b'],
    dropKind: DropKind.DROPOUT,
  },
};

function fold(bodies: readonly Body[], from?: RunView): RunView {
  let view = from;
  let sequence = Number(view?.run.logSequence ?? 0n);
  for (const body of bodies) view = applyEvent(view, RunEvent.fromPartial({ sequence: BigInt(++sequence), event: body as never }), name);
  return view!;
}

const claimed = (attempt: number, engine = Engine.NATIVE): Body => ({
  $case: 'claimed',
  value: { attempt, worker: `w${attempt}`, succeeds: '', engine, engineReason: '' },
});
const state = (to: RunState, reason = '', released = false): Body => ({ $case: 'state', value: { state: to, reason, released } });
const checkpoint = (step: number): Body => ({
  $case: 'checkpoint',
  value: { checkpoint: `${name}/checkpoints/c${step}`, step: BigInt(step), sizeBytes: 1n, seconds: 0 },
});
const evaluation = (step: number, top1: number): Body => ({
  $case: 'evaluation',
  value: {
    evaluation: 'e',
    checkpoint: `${name}/checkpoints/c${step}`,
    step: BigInt(step),
    best: false,
    failure: '',
    result: {
      samples: 1n,
      step: BigInt(step),
      seconds: 0,
      ema: undefined,
      weights: { loss: 1, top1, top5: 100, classCorrect: [], classSamples: [] },
    },
  },
});
const failedEvaluation = (step: number, failure: string): Body => ({
  $case: 'evaluation',
  value: { evaluation: '', checkpoint: `${name}/checkpoints/c${step}`, step: BigInt(step), best: false, failure, result: undefined },
});
const resumed = (fromStep: number): Body => ({
  $case: 'resumed',
  value: { fromStep: BigInt(fromStep), attempt: 1, checkpoint: '', fingerprintChanged: false },
});
const pauseRequested: Body = { $case: 'pauseRequested', value: {} };

test('a log begins with its created record', () => {
  assert.throws(() => fold([claimed(1)]), BrokenRunLog);
  assert.equal(fold([createdBody]).run.state, RunState.QUEUED);
});

test('life of a run: claim, steps, checkpoint, pause, resume, end', () => {
  let view = fold([createdBody, claimed(1), resumed(0), checkpoint(10)]);
  assert.deepEqual([view.run.state, view.run.attempt, view.owner, view.run.latestCheckpoint.at(-1)], [RunState.RUNNING, 1, 'w1', '0']);
  view = fold([pauseRequested], view);
  assert.equal(view.run.pauseRequested, true);
  view = fold([state(RunState.PAUSED)], view);
  assert.deepEqual([view.run.pauseRequested, view.run.state], [false, RunState.PAUSED]);
  view = fold([state(RunState.QUEUED), claimed(2), resumed(10), state(RunState.FAILED, 'loss is NaN')], view);
  assert.deepEqual([view.run.state, view.run.failure, view.run.step], [RunState.FAILED, 'loss is NaN', 10n]);
});

test('attempts without a further checkpoint are counted; a person who resumes resets the count', () => {
  let view = fold([createdBody, claimed(1), claimed(2), claimed(3)]);
  assert.equal(view.fruitlessAttempts, 3);
  view = fold([checkpoint(5), claimed(4), checkpoint(5)], view);
  assert.equal(view.fruitlessAttempts, 1, 'the same step again is no progress');
  view = fold([state(RunState.QUEUED), claimed(5)], view);
  assert.equal(view.fruitlessAttempts, 2, 'given back after a failure');
  view = fold([state(RunState.QUEUED, '', true), claimed(6)], view);
  assert.equal(view.fruitlessAttempts, 2, 'an attempt that was given back because its worker stops does not count');
  view = fold([state(RunState.PAUSED), state(RunState.QUEUED)], view);
  assert.equal(view.fruitlessAttempts, 0);
});

test('best does not depend on the order in which evaluations arrive', () => {
  const results = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 3 })), {
    selector: ([step]) => step,
    minLength: 1,
  });
  fc.assert(
    fc.property(results, fc.infiniteStream(fc.nat()), (inOrder, random) => {
      const shuffled = inOrder
        .map((value) => ({ value, key: random.next().value as number }))
        .sort((a, b) => a.key - b.key)
        .map(({ value }) => value);
      const sorted = [...inOrder].sort(([a], [b]) => a - b);
      let best: readonly [number, number] | undefined;
      for (const result of sorted) if (best === undefined || result[1] > best[1]) best = result;
      const view = fold([createdBody, ...shuffled.map(([step, top1]) => evaluation(step * 10, top1))]);
      assert.equal(view.run.bestCheckpoint, `${name}/checkpoints/c${best![0] * 10}`);
      assert.equal(view.run.bestTop1, best![1]);
    }),
  );
});

test('checkpoints at epoch boundaries wait for their evaluation, others do not', () => {
  const view = fold([createdBody, claimed(1), checkpoint(10), checkpoint(15), checkpoint(20), evaluation(10, 50)]);
  assert.deepEqual(
    view.unevaluated.map(({ step }) => step),
    [20],
  );
});

test('a snapshot of any prefix stands in for it', () => {
  const bodies: Body[] = [
    createdBody,
    claimed(1),
    resumed(0),
    checkpoint(10),
    evaluation(10, 12.5),
    pauseRequested,
    state(RunState.PAUSED),
    state(RunState.QUEUED),
  ];
  for (let cut = 1; cut <= bodies.length; cut++) {
    const restored = decodeView(encodeView(fold(bodies.slice(0, cut))));
    assert.deepEqual(JSON.parse(encodeView(fold(bodies.slice(cut), restored))), JSON.parse(encodeView(fold(bodies))));
  }
  assert.throws(() => decodeView('{"version":2}'));
  const before = encodeView(fold([createdBody])).replace(/"version":\d+/, '"version":4');
  assert.throws(() => decodeView(before), /snapshot version 4/, 'it does not know the decisions of an adaptive cutoff');
});

test('kinds of records that this release does not know change nothing but the sequence', () => {
  const before = fold([createdBody]);
  const after = applyEvent(before, RunEvent.fromPartial({ sequence: 2n }));
  assert.equal(after.run.logSequence, 2n);
  assert.equal(after.run.state, before.run.state);
});

test('evaluations are counted by how they ended, and the newest failure is kept', () => {
  const outcomes = fc.array(fc.option(fc.constantFrom('gone', 'refused')), { maxLength: 8 });
  fc.assert(
    fc.property(outcomes, (ended) => {
      const bodies = ended.flatMap((why, k) => {
        const step = 10 * (k + 1);
        return [checkpoint(step), why === null ? evaluation(step, 50) : failedEvaluation(step, why)];
      });
      const view = decodeView(encodeView(fold([createdBody, claimed(1), ...bodies])));
      const failures = ended.filter((why) => why !== null);
      const { evaluationsSucceeded, evaluationsFailed, evaluationFailure, bestTop1 } = view.run;
      assert.deepEqual(
        [evaluationsSucceeded, evaluationsFailed, evaluationFailure],
        [ended.length - failures.length, failures.length, failures.at(-1) ?? ''],
      );
      assert.equal(bestTop1, evaluationsSucceeded > 0 ? 50 : undefined);
      assert.deepEqual(view.unevaluated, []);
    }),
  );
});

test('the workers of a run are those of its newest claim or group, while one of them trains it', () => {
  const group = (...workers: string[]): Body => ({
    $case: 'group',
    value: { generation: 1n, members: workers.map((worker) => ({ worker, leaves: [] })), fromStep: 0n, fingerprint: '', reason: '' },
  });
  const workersAfter = (...bodies: Body[]) => fold([createdBody, ...bodies]).run.workers;
  assert.deepEqual(workersAfter(), []);
  assert.deepEqual(workersAfter(claimed(1)), ['w1']);
  assert.deepEqual(workersAfter(claimed(1), group('w1', 'w7')), ['w1', 'w7']);
  assert.deepEqual(workersAfter(claimed(1), group('w1', 'w7'), claimed(2)), ['w2']);
  for (const to of [RunState.PAUSED, RunState.QUEUED, RunState.SUCCEEDED]) assert.deepEqual(workersAfter(claimed(1), state(to)), []);
});
