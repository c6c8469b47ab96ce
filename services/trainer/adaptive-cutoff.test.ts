/** The adaptive cutoff of a run without faults, with an evaluator that is away, refuses or was never given, and in a group of workers. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropCutoff, DropMode } from '#protocol/dropstream/v1/schedule_types.js';
import { type CutoffMeasuredRecord, type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { freePort } from '../../test/support/tool.js';
import { follow, type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { until } from '../../test/support/until.js';

let services: TrainingServices;
let data: string;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
/** 96 images in batches of 16. */
const stepsPerEpoch = 6;

before(async () => {
  services = await TrainingServices.open();
  data = await services.data();
});
after(() => services.close());

const adaptive = (part: Partial<RunSpec> = {}): RunSpec =>
  services.spec({
    epochs: 6,
    dropout: 0.5,
    dropMode: DropMode.EARLY,
    cutoff: DropCutoff.ADAPTIVE,
    cutoffBatches: 6,
    saveCkptNum: 1,
    ...part,
  });

async function create(client: Trainer, runId: string, part: Partial<RunSpec> = {}): Promise<string> {
  return (await client.createRun({ parent, runId, spec: adaptive(part) }, soon)).run!.name;
}

const recordsOf = (events: readonly RunEvent[]): CutoffMeasuredRecord[] =>
  events.flatMap(({ event }) => (event?.$case === 'cutoffMeasured' ? [event.value] : []));

/** Drop rates by step. */
const ratesOf = (events: readonly RunEvent[]): number[] => {
  const rates: number[] = [];
  for (const { event } of events) {
    if (event?.$case === 'steps') for (const { step, dropRate } of event.value.steps) rates[Number(step)] = dropRate;
  }
  return rates;
};

/** What every log with an adaptive cutoff must hold. @returns the step at which the drop ended; undefined if it did not */
function checkLog(events: readonly RunEvent[], patience: number): number | undefined {
  const records = recordsOf(events);
  assert.deepEqual(
    records.map(({ step }) => Number(step)),
    records.map((_, k) => (k + 1) * stepsPerEpoch),
    'each epoch is measured once, in order',
  );
  let notHelping = 0;
  for (const { errorWithDrop, errorWithoutDrop, failure, ...record } of records) {
    if (failure === '') {
      assert.ok(errorWithDrop! > 0 && errorWithoutDrop! > 0 && errorWithDrop! < 1 && errorWithoutDrop! < 1);
      notHelping = errorWithDrop! < errorWithoutDrop! ? 0 : notHelping + 1;
    }
    assert.equal(record.notHelping, notHelping);
    assert.equal(Number(record.endsAtStep), failure === '' && notHelping >= patience ? Number(record.step) + stepsPerEpoch : 0);
  }
  const end = records.find(({ endsAtStep }) => endsAtStep > 0n);
  assert.ok(end === undefined || end === records.at(-1), 'nothing is measured after the end');
  // The decision is in the log before the first step that it concerns.
  const at = events.findIndex(({ event }) => event?.$case === 'cutoffMeasured' && event.value.endsAtStep > 0n);
  for (const step of ratesBefore(events.slice(0, Math.max(0, at)))) assert.ok(step < Number(end?.endsAtStep));
  return end && Number(end.endsAtStep);
}

const ratesBefore = (events: readonly RunEvent[]): number[] => [...ratesOf(events).keys()];

test('the drop ends from the step on that the log names, and the run says so', { timeout: 120_000 }, async (t) => {
  const { address } = await services.evaluator(['--data', data]);
  const { client, service } = await services.trainer(['--data', data, '--evaluator', address]);
  t.after(() => service.close());
  for (const [runId, part] of [
    ['constant', {}],
    ['path', { dropout: 0, dropPath: 0.8 }],
  ] as const) {
    const name = await create(client, runId, { cutoffPatience: 1, ...part });
    const events = await follow(client, name);
    const end = checkLog(events, 1);
    assert.ok(end !== undefined, inspect(recordsOf(events)));
    const rate = runId === 'path' ? 0.8 : 0.5;
    assert.deepEqual(
      ratesOf(events),
      Array.from({ length: 6 * stepsPerEpoch }, (_, step) => (step < end ? rate : 0)),
    );
    const { run } = await client.getRun({ name }, soon);
    assert.equal(run?.state, RunState.SUCCEEDED, run?.failure);
    assert.deepEqual(
      run?.dropSegments.map(({ start, end: last, startValue }) => [Number(start), Number(last), startValue]),
      [
        [0, end, rate],
        [end, 36, 0],
      ],
    );
  }
});

test('the evaluator is away: the run waits at the step, says so, can be paused, and goes on when the evaluator comes', {
  timeout: 120_000,
}, async (t) => {
  const port = await freePort();
  const { client, service } = await services.trainer(['--data', data, '--evaluator', `127.0.0.1:${port}`]);
  t.after(() => service.close());
  const name = await create(client, 'away', { cutoffPatience: 1 });
  const get = async () => (await client.getRun({ name }, soon)).run!;
  const waits = () =>
    until('the status', async () => (await get()).statusMessage.includes('waits before step 12 for the measurement'), {
      looks: 400,
      pauseMs: 50,
    });
  await waits();
  assert.match((await get()).statusMessage, /the evaluator does not answer: .*unavailable/);
  assert.equal((await get()).step, 12n);
  await client.pauseRun({ name }, soon);
  await until('the pause', async () => (await get()).state === RunState.PAUSED, { looks: 400, pauseMs: 50 });
  await client.resumeRun({ name }, soon);
  await waits();
  assert.equal((await get()).step, 12n);
  const { checkpoints } = await client.listCheckpoints({ parent: name }, soon);
  assert.deepEqual(
    checkpoints.map(({ step }) => Number(step)),
    [12, 6],
    'the checkpoint that is still to be measured is kept, although only one is to be kept',
  );
  await services.evaluator(['--port', String(port), '--data', data]);
  const events = await follow(client, name);
  checkLog(events, 1);
  assert.equal((await get()).state, RunState.SUCCEEDED);
  assert.equal((await get()).statusMessage, '');
});

test('measurements that were cancelled count neither way, and the log says why', { timeout: 120_000 }, async (t) => {
  const { client: evaluator, address } = await services.evaluator(['--role', 'api']);
  const { client, service } = await services.trainer(['--data', data, '--evaluator', address]);
  t.after(() => service.close());
  const name = await create(client, 'cancelled', { epochs: 4, cutoffPatience: 1 });
  let over = false;
  const cancelling = (async () => {
    for (; !over; await delay(20)) {
      const { evaluations } = await evaluator.listEvaluations({ parent }, soon);
      for (const { name: one, state } of evaluations)
        if (state === EvaluationState.PENDING) await evaluator.cancelEvaluation({ name: one }, soon);
    }
  })();
  const events = await follow(client, name);
  over = true;
  await cancelling;
  assert.deepEqual(
    recordsOf(events).map(({ failure, notHelping, errorWithDrop }) => [failure, notHelping, errorWithDrop]),
    [1, 2].map(() => ['the evaluation was cancelled', 0, undefined]),
  );
  assert.deepEqual(new Set(ratesOf(events)), new Set([0.5]));
  const ends = events.flatMap(({ event }) => (event?.$case === 'state' ? [event.value] : []));
  assert.equal(
    ends.at(-1)?.reason,
    'its adaptive cutoff decided nothing, because all measurements of its gradients failed (2), the last one because: the evaluation was cancelled',
  );
});

test('a worker without an evaluator leaves the run to one that has it, and the run says so', { timeout: 60_000 }, async (t) => {
  const { client, service } = await services.trainer(['--data', data]);
  t.after(() => service.close());
  const name = await create(client, 'alone');
  const get = async () => (await client.getRun({ name }, soon)).run!;
  const why = 'waits for a worker that was started with --evaluator, which measures the gradients for its adaptive cutoff';
  await until('the status', async () => (await get()).statusMessage === why, { looks: 400, pauseMs: 50 });
  assert.equal((await get()).state, RunState.QUEUED);
  const { address } = await services.evaluator(['--data', data]);
  const { service: other } = await services.trainer(['--data', data, '--evaluator', address, '--instance', 'measures']);
  t.after(() => other.close());
  const events = await follow(client, name);
  checkLog(events, 2);
  assert.deepEqual(
    new Set(events.flatMap(({ event }) => (event?.$case === 'claimed' ? [event.value.worker.replace(/:.*/, '')] : []))),
    new Set(['measures']),
  );
});
