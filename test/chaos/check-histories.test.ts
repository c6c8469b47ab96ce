/** The checks of histories find what they are for: whole ones pass, and every falsified one is complained of. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { EvaluationResult } from '#protocol/dropstream/v1/evaluator.js';
import { ClaimedRecord, Run, RunEvent, RunState, StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { checkEvaluations } from './check-evaluations.js';
import { checkFollowing, KnownSteps } from './check-following.js';
import { type Calm, checkEvents, checkSkipped } from './check-run.js';
import { checkSteps } from './check-steps.js';
import { Damage } from './damage.js';

const RUN = 'projects/p/runs/r';
const STEPS = 8;
const PER_EPOCH = 4;
const RATES: readonly (readonly number[])[] = [[], Array(STEPS).fill(0.1), Array(STEPS).fill(0.2)];

type Body = NonNullable<RunEvent['event']>;

const metricsOf = (step: number, dropRate = 0.1): StepMetrics =>
  StepMetrics.fromPartial({
    step: BigInt(step),
    epoch: Math.floor(step / PER_EPOCH),
    loss: Math.fround(2 / (step + 1)),
    gradNorm: 1 / (step + 3),
    lr: step * 1e-3,
    weightDecay: 0.05,
    dropRate,
    batchSha256: [createHash('sha256').update(String(step)).digest()],
  });
const resultOf = (step: number): EvaluationResult =>
  EvaluationResult.fromPartial({ samples: 10n, step: BigInt(step), seconds: 1, ...{ weights: scores(step), ema: scores(step + 1) } });
const scores = (step: number) => ({ loss: 1 / step, top1: 10 * step, top5: 100 });

const calm: Calm = {
  steps: new Map(Array.from({ length: STEPS }, (_, step) => [step, metricsOf(step)])),
  results: new Map([PER_EPOCH, STEPS].map((step) => [step, resultOf(step)])),
};

const checkpointName = (step: number): string => `${RUN}/checkpoints/${String(step).padStart(12, '0')}-00000000`;
const state = (value: RunState, reason = ''): Body => ({ $case: 'state', value: { state: value, reason, released: false } });
const claimed = (attempt: number): Body => ({ $case: 'claimed', value: ClaimedRecord.fromPartial({ attempt, worker: `w:${attempt}` }) });
const steps = (...numbers: number[]): Body => ({ $case: 'steps', value: { steps: numbers.map((step) => metricsOf(step)) } });
const checkpoint = (step: number): Body => ({
  $case: 'checkpoint',
  value: { checkpoint: checkpointName(step), step: BigInt(step), sizeBytes: 1n, seconds: 1 },
});
const resumed = (attempt: number, step: number): Body => ({
  $case: 'resumed',
  value: { attempt, fromStep: BigInt(step), checkpoint: step === 0 ? '' : checkpointName(step), fingerprintChanged: false },
});
const evaluation = (step: number, change: { result?: EvaluationResult | undefined; failure?: string } = {}): Body => ({
  $case: 'evaluation',
  value: {
    ...{ evaluation: `projects/p/evaluations/e-${step}`, checkpoint: checkpointName(step), step: BigInt(step), best: true },
    ...{ result: resultOf(step), failure: '', ...change },
  },
});
function epoch(number: number): Body {
  const own = [...calm.steps.values()].filter((step) => step.epoch === number);
  const mean = (of: (step: StepMetrics) => number): number => own.reduce((sum, step) => sum + of(step), 0) / own.length;
  const means = { trainLoss: mean(({ loss }) => loss), trainGradNorm: mean(({ gradNorm }) => gradNorm) };
  const rest = {
    trainLr: 0,
    trainMinLr: 0,
    trainDropRate: 0,
    trainWeightDecay: 0,
    trainClassAcc: undefined,
    imagesPerSecond: 1,
    seconds: 1,
  };
  return { $case: 'epoch', value: { epoch: number, ...means, ...rest } };
}
const numbered = (bodies: readonly Body[]): RunEvent[] =>
  bodies.map((event, k) => RunEvent.fromPartial({ sequence: BigInt(k + 1), event }));
const runOf = (change: Partial<Run>): Run => ({ ...Run.fromPartial({ name: RUN, spec: { scheduleRevision: 1n } }), ...change });
const created = (): Body => RunEvent.fromPartial({ event: { $case: 'created', value: { run: runOf({}) } } }).event!;

/** A run whose first worker died after step 5, so that steps 4 and 5 are done twice. */
const whole: readonly Body[] = [
  ...[created(), claimed(1), steps(0, 1), steps(2, 3), epoch(0), checkpoint(4), steps(4, 5), evaluation(4)],
  ...[claimed(2), resumed(2, 4), steps(4, 5, 6, 7), epoch(1), checkpoint(8), evaluation(8), state(RunState.SUCCEEDED)],
];
const finished = runOf({ evaluationsSucceeded: 2, evaluationsFailed: 0, bestTop1: 80, bestCheckpoint: checkpointName(8) });

const indexOf = (kind: Body['$case'], nth = 0): number => whole.flatMap(({ $case }, k) => ($case === kind ? [k] : [])).at(nth) as number;
const without = (kind: Body['$case'], nth = 0): Body[] => whole.filter((_, k) => k !== indexOf(kind, nth));
const instead = (kind: Body['$case'], nth: number, ...other: Body[]): Body[] =>
  whole.flatMap((body, k) => (k === indexOf(kind, nth) ? other : [body]));
const stepsWith = (change: Partial<StepMetrics>, ...numbers: number[]): Body => ({
  $case: 'steps',
  value: { steps: numbers.map((step, k) => ({ ...metricsOf(step), ...(k === 0 ? change : {}) })) },
});

const sameLosses = { sameLosses: true };

test('a whole history passes, and its repeated steps are counted', () => {
  assert.deepEqual(checkEvents(numbered(whole)), []);
  assert.deepEqual(checkSteps(numbered(whole), calm, sameLosses), { wrong: [], repeated: 2 });
  assert.deepEqual(checkEvaluations(numbered(whole), finished, calm, new Damage()), []);
});

test('events that are lost, doubled or after the end, and runs that did not succeed, are complained of', () => {
  const events = numbered(whole);
  const falsified: [RegExp, RunEvent[]][] = [
    [/event 3 of the watch has the sequence 4/, events.filter((_, k) => k !== 2)],
    [/event 4 of the watch has the sequence 3/, events.flatMap((event, k) => (k === 2 ? [event, event] : [event]))],
    [/it ended with FAILED: no data/, numbered(instead('state', 0, state(RunState.FAILED, 'no data')))],
    [/it ended with evaluation/, numbered(without('state'))],
    [/it ended 2 times/, numbered([...whole, state(RunState.SUCCEEDED)])],
  ];
  for (const [expected, history] of falsified) assert.match(checkEvents(history).join('\n'), expected);
});

test('steps that are missing, doubled, trained on other batches or with another loss are complained of, in every attempt', () => {
  const falsified: [RegExp, Body[]][] = [
    [/step 2 is missing/, instead('steps', 1, steps(3))],
    [/step 3 comes where step 2 was due/, instead('steps', 1, steps(3))],
    [/step 3 comes where step 4 was due/, instead('steps', 1, steps(2, 3, 3))],
    [/step 8 is one too many/, instead('steps', 3, steps(4, 5, 6, 7, 8))],
    [/step 6 is missing/, instead('steps', 3, steps(4, 5))],
    [/step 2 was trained on other batches/, instead('steps', 1, stepsWith({ batchSha256: [Buffer.alloc(32)] }, 2, 3))],
    [/step 6 was trained on other batches/, instead('steps', 3, steps(4, 5), stepsWith({ batchSha256: [] }, 6, 7))],
    [/step 2 has the loss 0.5 and/, instead('steps', 1, stepsWith({ loss: 0.5 }, 2, 3))],
    [/step 2 has the loss .* and gradient norm 0.2000001 instead/, instead('steps', 1, stepsWith({ gradNorm: 0.2000001 }, 2, 3))],
    // The step that was lost with the first attempt differs from the one that replaced it.
    [/step 4 has the loss 0.25 and/, instead('steps', 2, stepsWith({ loss: 0.25 }, 4, 5))],
    [/step 4 has the loss NaN and/, instead('steps', 3, stepsWith({ loss: Number.NaN }, 4, 5, 6, 7))],
    [/an attempt begins at step 0 although the newest checkpoint is of step 4/, instead('resumed', 0, resumed(2, 0))],
    [/an attempt begins at step 4 although the newest checkpoint is of step 0/, without('checkpoint')],
    [
      /begins with .*000005-00000000, which is not of step 4/,
      instead('resumed', 0, { ...resumed(2, 5), value: { ...(resumed(2, 5).value as object), fromStep: 4n } } as Body),
    ],
    [/epoch 1 has no means/, without('epoch', 1)],
    [/epoch 1 has the mean loss/, instead('epoch', 1, { ...epoch(1), value: { ...(epoch(0).value as object), epoch: 1 } } as Body)],
  ];
  for (const [expected, history] of falsified) assert.match(checkSteps(numbered(history), calm, sameLosses).wrong.join('\n'), expected);
});

test('a checkpoint that an attempt skipped is no place to begin', () => {
  const skip: Body = { $case: 'checkpointSkipped', value: { checkpoint: checkpointName(4), reason: 'damaged' } };
  const again = [resumed(2, 0), steps(0, 1, 2, 3), epoch(0)];
  assert.deepEqual(checkSteps(numbered(instead('resumed', 0, skip, ...again)), calm, sameLosses), { wrong: [], repeated: 6 });
  const wrong = checkSteps(numbered(instead('resumed', 0, skip, resumed(2, 4))), calm, sameLosses).wrong;
  assert.match(wrong.join('\n'), /an attempt begins at step 4 although the newest checkpoint is of step 0/);
});

test('an attempt goes back beyond the checkpoints that are kept only if it skipped all of them', () => {
  const first = RunEvent.fromPartial({
    event: { $case: 'created', value: { run: { ...runOf({}), spec: { saveCkptNum: 2 } as never } } },
  }).event!;
  const skip = (step: number): Body => ({ $case: 'checkpointSkipped', value: { checkpoint: checkpointName(step), reason: 'damaged' } });
  const history = (...skipped: number[]): RunEvent[] =>
    numbered([
      ...[
        first,
        claimed(1),
        steps(0),
        checkpoint(1),
        steps(1),
        checkpoint(2),
        steps(2, 3),
        epoch(0),
        checkpoint(4),
        steps(4, 5),
        checkpoint(6),
      ],
      // Checkpoint 2 was deleted when there were 4 and 6. After that, the attempt before is no measure any more.
      ...[claimed(2), ...skipped.map(skip), resumed(2, 1), steps(1), claimed(3), resumed(3, 1), steps(1, 2, 3), epoch(0)],
      ...[steps(4, 5, 6, 7), epoch(1)],
    ]);
  assert.deepEqual(checkSteps(history(6, 4), calm, sameLosses), { wrong: [], repeated: 6 });
  assert.match(checkSteps(history(6), calm, sameLosses).wrong.join('\n'), /begins at step 1 although the newest checkpoint is of step 4/);
});

test('a checkpoint that was skipped although nobody damaged it is complained of', () => {
  const skip: Body = { $case: 'checkpointSkipped', value: { checkpoint: checkpointName(4), reason: 'the store is away' } };
  const events = numbered(instead('resumed', 0, skip, resumed(2, 0)));
  assert.match(checkSkipped(events, new Set()).join('\n'), /000004-00000000, which nobody damaged, was skipped: the store is away/);
  assert.deepEqual(checkSkipped(events, new Set([checkpointName(4)])), []);
  assert.deepEqual(checkSkipped(numbered(whole), new Set()), []);
});

test('evaluations that are missing, doubled, different or failed without a cause are complained of', () => {
  const falsified: [RegExp, Body[], Partial<Run>?][] = [
    [/000004-00000000 was not evaluated/, without('evaluation')],
    [/no checkpoint of step 8 was evaluated/, whole.filter((_, k) => k !== indexOf('evaluation', 1) && k !== indexOf('checkpoint', 1))],
    [/000004-00000000 was evaluated twice/, instead('evaluation', 0, evaluation(4), evaluation(4))],
    [/which the log does not have/, without('checkpoint')],
    [/the result of .*000004-00000000 is .* instead of/, instead('evaluation', 0, evaluation(4, { result: resultOf(5) }))],
    [/lacks values/, instead('evaluation', 0, evaluation(4, { result: { ...resultOf(4), ema: undefined } }))],
    [
      /lacks values/,
      instead('evaluation', 0, evaluation(4, { result: { ...resultOf(4), weights: { ...resultOf(4).weights!, loss: Number.NaN } } })),
    ],
    [/neither a result nor a reason/, instead('evaluation', 0, evaluation(4, { result: undefined }))],
    [/a result and a reason for its failure/, instead('evaluation', 0, evaluation(4, { failure: 'no' }))],
    [/which nobody damaged, failed: no/, instead('evaluation', 0, evaluation(4, { result: undefined, failure: 'no' }))],
    [/but GetRun says 1 and 0 failed/, [...whole], { evaluationsSucceeded: 1 }],
    [/but GetRun says 2 and 1 failed/, [...whole], { evaluationsFailed: 1 }],
    [/the best is .*000008-00000000 with 80, but GetRun says/, [...whole], { bestCheckpoint: checkpointName(4) }],
    [/the best is .*000008-00000000 with 80, but GetRun says/, [...whole], { bestTop1: 79 }],
  ];
  for (const [expected, history, change] of falsified) {
    const wrong = checkEvaluations(numbered(history), { ...finished, ...change }, calm, new Damage());
    assert.match(wrong.join('\n'), expected);
  }
});

test('a damaged checkpoint may fail its evaluation for that reason only, and must if nobody could evaluate it before', () => {
  const damage = new Damage();
  damage.parts.add(`${RUN}/${'a'.repeat(32)}/checkpoints/000000000004-00000000/weights.safetensors`);
  const failed = (failure: string): Body[] => instead('evaluation', 0, evaluation(4, { result: undefined, failure }));
  const reason = 'CheckpointDamaged: checkpoint part x is damaged: expected abc, found def';
  const run = { ...finished, evaluationsSucceeded: 1, evaluationsFailed: 1 };
  assert.deepEqual(checkEvaluations(numbered(failed(reason)), run, calm, damage), []);
  assert.match(checkEvaluations(numbered(failed('no data')), run, calm, damage).join('\n'), /but not because it is damaged: no data/);
  assert.deepEqual(checkEvaluations(numbered(whole), finished, calm, damage), [], 'it may have been read before it was damaged');
  damage.unevaluable.add(checkpointName(4));
  assert.match(checkEvaluations(numbered(whole), finished, calm, damage).join('\n'), /was evaluated although it is damaged/);
});

test('rates that are not those of the revision in force, and other losses with the same rates, are complained of', async () => {
  const ratesOf = async (revision: bigint): Promise<readonly number[]> => RATES[Number(revision)]!;
  const change = (revision: number, step: number): Body => ({
    $case: 'scheduleChanged',
    value: { revision: BigInt(revision), effectiveStep: BigInt(step), segments: [] },
  });
  const rated = (rate: number, from: number, to: number): Body => ({
    $case: 'steps',
    value: { steps: Array.from({ length: to - from }, (_, k) => metricsOf(from + k, rate)) },
  });
  const check = async (...bodies: Body[]): Promise<string> =>
    (await checkFollowing(numbered(bodies), calm, ratesOf, new KnownSteps())).join('\n');
  assert.equal(await check(created(), rated(0.1, 0, 3), change(2, 3), rated(0.2, 3, 8)), '');
  assert.match(
    await check(created(), rated(0.1, 0, 3), change(2, 3), rated(0.1, 3, 8)),
    /step 3 has the drop rate 0.1; revision 2 says 0.2/,
  );
  assert.match(await check(created(), rated(0.2, 0, 3)), /step 0 has the drop rate 0.2; revision 1 says 0.1/);
  assert.match(await check(created(), rated(0.1, 0, 3), change(2, 2), rated(0.2, 3, 8)), /in force from step 2, after step 2/);
  assert.match(await check(created(), change(2, 0), change(2, 0)), /revision 2 follows revision 2/);
  const slow: Body = { $case: 'steps', value: { steps: [{ ...metricsOf(0), lr: 1 }] } };
  assert.match(await check(created(), slow), /step 0 has the learning rate 1 and/);

  const known = new KnownSteps();
  const once = numbered([created(), rated(0.1, 0, 3), claimed(2), resumed(2, 0), rated(0.1, 0, 8)]);
  assert.deepEqual(await checkFollowing(once, calm, ratesOf, known), []);
  assert.equal(known.repeated, 3);
  const other = numbered([created(), { $case: 'steps', value: { steps: [metricsOf(0), { ...metricsOf(1), loss: 7 }] } }]);
  assert.match(
    (await checkFollowing(other, calm, ratesOf, known)).join('\n'),
    /step 1 has the loss 7 .* with the same rates it once had 1 and/,
  );
});
