/** Runs with `exact` go only to workers with the numerics of their checkpoint; the others leave them in the queue and say so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { engineInfo } from '#native/addon.js';
import { type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { type ServiceProcess, startService } from '../../test/support/processes.js';
import { follow, TrainingServices } from '../../test/support/training-services.js';

const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

const leftRuns = ({ log }: ServiceProcess) =>
  log()
    .split('\n')
    .filter((line) => line.includes('an exact run waits'))
    .map((line) => JSON.parse(line) as { run: string; checkpoint: string; wanted: string; found: string });

/** Process ids of the workers that claimed the run, in order: an owner is host:pid:number. */
const claimedBy = (events: readonly RunEvent[]) =>
  events.flatMap(({ event }) => (event?.$case === 'claimed' ? [Number(event.value.worker.split(':').at(-2))] : []));

test('an exact run begun on one kernel path is never claimed by a worker with another one', { timeout: 180_000 }, async (t) => {
  const { isa: native } = engineInfo();
  if (native === 'portable') return t.skip('this machine has only the portable kernels');
  const services = await TrainingServices.open();
  t.after(() => services.close());
  const data = await services.data();
  const { client } = await services.trainer(['--role', 'api']);
  const worker = (isa: Record<string, string>) =>
    startService(
      t,
      'trainer',
      ['--role', 'worker', '--store', services.storeUri, '--data', data, '--poll-ms', '50', '--lease-ttl-ms', '1000', '--backoff-ms', '50'],
      isa,
    );

  const begun = await worker({ DROPSTREAM_ISA: 'portable' });
  const spec = services.spec({ exact: true, epochs: 40, saveCkptFreq: 1 });
  const { run } = await client.createRun({ parent, runId: 'exact', spec }, soon);
  const name = run!.name;
  await follow(client, name, ({ event }) => event?.$case === 'checkpoint');
  assert.equal(await begun.end('SIGTERM'), 0);
  const { latestCheckpoint, state } = (await client.getRun({ name }, soon)).run!;
  assert.equal(state, RunState.QUEUED);

  const other = await worker({});
  // It works on what is no concern of numerics, so it does look at the queue.
  const { run: free } = await client.createRun({ parent, runId: 'free', spec: services.spec() }, soon);
  assert.deepEqual(claimedBy(await follow(client, free!.name)), [other.process.pid]);
  for (let tries = 0; leftRuns(other).length === 0 && tries < 200; tries++) await delay(50);
  // Many looks at the queue later it has said so once.
  await delay(1000);
  const [left, ...again] = leftRuns(other);
  assert.deepEqual(again, []);
  assert.deepEqual([left?.run, left?.checkpoint], [name, latestCheckpoint]);
  assert.match(left!.wanted, /portable/);
  assert.match(left!.found, new RegExp(native));
  const metrics = await (await fetch(`${other.admin}/metrics`)).text();
  assert.match(metrics, /^dropstream_trainer_exact_runs_left_total 1$/m);
  assert.equal((await client.getRun({ name }, soon)).run?.state, RunState.QUEUED);

  const fitting = await worker({ DROPSTREAM_ISA: 'portable' });
  const events = await follow(client, name);
  assert.deepEqual(claimedBy(events), [begun.process.pid, fitting.process.pid]);
  const resumed = events.flatMap(({ event }) => (event?.$case === 'resumed' ? [event.value] : []));
  assert.deepEqual(
    resumed.map(({ checkpoint, fingerprintChanged }) => [checkpoint, fingerprintChanged]),
    [[latestCheckpoint, false]],
  );
  assert.equal((await client.getRun({ name }, soon)).run?.state, RunState.SUCCEEDED);
});
