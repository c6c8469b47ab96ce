/** Evaluations of a run's checkpoints that end without a result: each is an event with its reason, and none fails the training. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { type EvaluationRecord, type Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { freePort } from '../../test/support/tool.js';
import { type Evaluator, follow, type Trainer, TrainingServices } from '../../test/support/training-services.js';

let services: TrainingServices;
let data: string;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  data = await services.data();
});
after(() => services.close());

async function start(client: Trainer, runId: string): Promise<string> {
  const spec = services.spec({ evalManifest: services.evalManifest });
  return (await client.createRun({ parent, runId, spec }, soon)).run!.name;
}

async function ended(client: Trainer, name: string): Promise<{ records: EvaluationRecord[]; run: Run; reason: string }> {
  const events = await follow(client, name);
  const records = events.flatMap(({ event }) => (event?.$case === 'evaluation' ? [event.value] : []));
  const last = events.at(-1)!.event!;
  return { records, run: (await client.getRun({ name }, soon)).run!, reason: last.$case === 'state' ? last.value.reason : '' };
}

/** Both epochs have a record without scores whose reason matches; the run succeeded, and says so too. */
function assertFailed({ records, run, reason }: Awaited<ReturnType<typeof ended>>, why: RegExp): void {
  assert.deepEqual(records.map(({ step }) => step).sort(), [run.stepsPerEpoch, run.totalSteps].sort());
  for (const { result, failure, best } of records) {
    assert.deepEqual([result, best], [undefined, false]);
    assert.match(failure, why);
  }
  assert.equal(run.state, RunState.SUCCEEDED, run.failure);
  assert.deepEqual([run.evaluationsSucceeded, run.evaluationsFailed, run.bestCheckpoint, run.bestTop1], [0, 2, '', undefined]);
  assert.match(run.evaluationFailure, why);
  assert.match(reason, /^2 of 2 evaluations failed, the last one because: /);
}

/** Cancels every evaluation of the project until there are `count` that were. */
async function cancelAll(evaluator: Evaluator, count: number): Promise<void> {
  for (let cancelled = 0; cancelled < count; await delay(20)) {
    const { evaluations } = await evaluator.listEvaluations({ parent }, soon);
    for (const { name, state } of evaluations) {
      if (state !== EvaluationState.PENDING) continue;
      await evaluator.cancelEvaluation({ name }, soon);
      cancelled++;
    }
  }
}

test('the evaluator was never there', { timeout: 60_000 }, async (t) => {
  const nobody = `127.0.0.1:${await freePort()}`;
  const { client, service } = await services.trainer(['--data', data, '--evaluator', nobody, '--evaluation-wait-ms', '2500']);
  t.after(() => service.close());
  assertFailed(
    await ended(client, await start(client, 'away')),
    /the evaluator did not answer within 2\.5 s .*; its last error: .*unavailable/,
  );
});

test('the evaluator answers, but no worker of it takes the evaluations', { timeout: 60_000 }, async (t) => {
  const { address } = await services.evaluator(['--role', 'api']);
  const { client, service } = await services.trainer(['--data', data, '--evaluator', address, '--evaluation-wait-ms', '4000']);
  t.after(() => service.close());
  assertFailed(await ended(client, await start(client, 'idle')), /the evaluation made no progress within 4 s/);
});

test('the evaluations were cancelled', { timeout: 60_000 }, async (t) => {
  const { client: evaluator, address } = await services.evaluator(['--role', 'api']);
  const { client, service } = await services.trainer(['--data', data, '--evaluator', address]);
  t.after(() => service.close());
  // Those that the test before this one left behind.
  const { evaluations } = await evaluator.listEvaluations({ parent }, soon);
  const left = evaluations.filter(({ state }) => state === EvaluationState.PENDING).length;
  const [end] = await Promise.all([start(client, 'cancelled').then((name) => ended(client, name)), cancelAll(evaluator, left + 2)]);
  assertFailed(end, /^the evaluation was cancelled$/);
});

test('the evaluator refuses them, because it does not have the checkpoints', { timeout: 60_000 }, async (t) => {
  const elsewhere = await TrainingServices.open({ train: 96, test: 40 });
  try {
    const { address } = await elsewhere.evaluator(['--role', 'api']);
    const { client, service } = await services.trainer(['--data', data, '--evaluator', address]);
    t.after(() => service.close());
    assertFailed(await ended(client, await start(client, 'refused')), /^(checkpoint|run) projects\/p\/runs\/refused.* does not exist$/);
  } finally {
    await elsewhere.close();
  }
});

test('the trainer has no evaluator', { timeout: 60_000 }, async (t) => {
  const { client, service } = await services.trainer(['--data', data]);
  t.after(() => service.close());
  const { records, run, reason } = await ended(client, await start(client, 'alone'));
  assert.deepEqual([records, run.state, run.evaluationsFailed], [[], RunState.SUCCEEDED, 0]);
  assert.match(reason, /were not evaluated, because the trainer was started without --evaluator/);
});

test('the evaluation images are gone', { timeout: 60_000 }, async (t) => {
  const { address } = await services.evaluator(['--data', data, '--max-attempts', '2']);
  const { client, service } = await services.trainer(['--data', data, '--evaluator', address]);
  t.after(() => service.close());
  const spec = services.spec({ evalManifest: services.evalManifest });
  // This is the last test, because it takes the images away for good.
  await rm(join(services.folder, 'tiny', 't10k-images-idx3-ubyte'), { force: true });
  const { run } = await client.createRun({ parent, runId: 'gone', spec }, soon);
  assertFailed(await ended(client, run!.name), /its data set is not below/);
});
