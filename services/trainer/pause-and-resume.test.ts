import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { follow, lossesOf, type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { openRunLog } from './run/run-log.js';

let services: TrainingServices;
let trainer: Trainer;
let data: string;
let spec: RunSpec;
let undisturbed: readonly number[];
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
let runs = 0;

before(async () => {
  services = await TrainingServices.open();
  data = await services.data();
  trainer = (await services.trainer(['--role', 'api'])).client;
  spec = services.spec({ epochs: 20, batchSize: 8, updateFreq: 2, modelEma: true, saveCkptFreq: 5, seed: 3n });
  const worker = await services.trainer(['--role', 'worker', '--data', data]);
  undisturbed = lossesOf(await follow(trainer, await create()));
  await worker.service.close();
});
after(() => services.close());

async function create(): Promise<string> {
  return (await trainer.createRun({ parent, runId: `r${++runs}`, spec }, soon)).run!.name;
}

/** A claim whose worker has vanished: nobody will stop for a pause. */
async function claimForNobody(name: string): Promise<void> {
  const { uid } = (await trainer.getRun({ name }, soon)).run!;
  const log = openRunLog(services.store, { project: 'p', id: name.split('/')[3]!, uid });
  await log.refresh();
  await log.append(() => ({
    body: { $case: 'claimed', value: { attempt: 1, worker: 'nobody', succeeds: '', engine: Engine.NATIVE, engineReason: '' } },
  }));
}

const statesOf = (events: readonly RunEvent[]) =>
  events.flatMap(({ event }) =>
    event?.$case === 'pauseRequested' ? ['pausing'] : event?.$case === 'state' ? [RunState[event.value.state]] : [],
  );

test('resuming a run that is about to pause waits for its worker, and then queues it', { timeout: 60_000 }, async () => {
  const name = await create();
  const { service } = await services.trainer(['--role', 'worker', '--data', data]);
  await follow(trainer, name, ({ event }) => event?.$case === 'steps');
  const { run: pausing } = await trainer.pauseRun({ name }, soon);
  assert.deepEqual([pausing?.state, pausing?.pauseRequested], [RunState.RUNNING, true]);
  // Two callers: one queues it, and the other finds it queued or running.
  for (const { run } of await Promise.all([trainer.resumeRun({ name }, soon), trainer.resumeRun({ name }, soon)]))
    assert.ok(run?.state === RunState.QUEUED || run?.state === RunState.RUNNING, RunState[run!.state]);
  const events = await follow(trainer, name);
  assert.deepEqual(statesOf(events), ['pausing', 'PAUSED', 'QUEUED', 'SUCCEEDED']);
  assert.deepEqual(lossesOf(events), undisturbed);
  await service.close();
});

test('resuming waits no longer than its deadline, and then changes nothing', { timeout: 60_000 }, async () => {
  const name = await create();
  await claimForNobody(name);
  await trainer.pauseRun({ name }, soon);
  const { run: before } = await trainer.getRun({ name }, soon);
  await assert.rejects(trainer.resumeRun({ name }, { timeoutMs: 400 }), { name: 'DeadlineExceeded' });
  const { run: after } = await trainer.getRun({ name }, soon);
  assert.deepEqual([after?.logSequence, after?.pauseRequested], [before?.logSequence, true]);
  await trainer.cancelRun({ name }, soon);
});

test('a run that ends while it is about to pause cannot be resumed', { timeout: 60_000 }, async () => {
  const name = await create();
  await claimForNobody(name);
  await trainer.pauseRun({ name }, soon);
  const resumed = trainer.resumeRun({ name }, soon);
  const refused = assert.rejects(resumed, { name: 'FailedPrecondition', kind: 'run' });
  await delay(100);
  await trainer.cancelRun({ name }, soon);
  await refused;
});

test('whatever pauses and resumes are asked for at the same time, the run ends with the losses of an undisturbed one', {
  timeout: 240_000,
}, async () => {
  const { service } = await services.trainer(['--role', 'worker', '--data', data]);
  const asks = fc.array(fc.record({ what: fc.constantFrom('pauseRun', 'resumeRun'), afterMs: fc.nat(600) }), {
    minLength: 4,
    maxLength: 10,
  });
  await fc.assert(
    fc.asyncProperty(asks, async (all) => {
      const name = await create();
      const answers = all.map(async ({ what, afterMs }) => {
        await delay(afterMs);
        // The run may have ended before.
        return await trainer[what]({ name }, soon).catch((error: Error) => error.name);
      });
      for (const answer of await Promise.all(answers)) if (typeof answer === 'string') assert.equal(answer, 'FailedPrecondition');
      await trainer.resumeRun({ name }, soon).catch((error: Error) => assert.equal(error.name, 'FailedPrecondition'));
      const events = await follow(trainer, name);
      assert.equal(statesOf(events).at(-1), 'SUCCEEDED');
      assert.deepEqual(lossesOf(events), undisturbed);
    }),
    { numRuns: 5 },
  );
  await service.close();
});
