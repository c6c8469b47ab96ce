/**
 * A model of 86 million parameters, a lease of 3 seconds, and another worker that would take the run over at once: initialising, saving and
 * loading must leave the event loop to the heartbeat. Slow: several gigabytes are written.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { startService } from '../../test/support/processes.js';
import { follow, TrainingServices } from '../../test/support/training-services.js';

const soon = { timeoutMs: 60_000 };
const minutes = 60_000;

test('vit_base starts, saves and resumes with a lease of 3 s, and a worker that waits never gets the run', {
  timeout: 10 * minutes,
}, async (t) => {
  const services = await TrainingServices.open({ train: 4, test: 4 });
  t.after(() => services.close());
  const data = await services.data();
  const { client } = await services.trainer(['--role', 'api']);
  const startWorker = () =>
    startService(t, 'trainer', [
      '--role',
      'worker',
      '--store',
      services.storeUri,
      '--data',
      data,
      '--poll-ms',
      '100',
      '--lease-ttl-ms',
      '3000',
    ]);
  // Four steps to an epoch; more epochs than this test waits for.
  const spec = services.spec({
    model: 'vit_base',
    inputSize: 32,
    batchSize: 1,
    mixup: 0,
    cutmix: 0,
    epochs: 1000,
    saveCkptFreq: 1,
    saveCkptNum: 1,
  });
  const { run } = await client.createRun({ parent: 'projects/p', runId: 'large', spec }, soon);
  const name = run!.name;

  /** One worker owns the run until `until`; another one waits for it all the time. Resolves to the owner's process id and the run's log. */
  const attempt = async (number: number, until: (event: RunEvent) => boolean) => {
    const owner = await startWorker();
    await follow(client, name, ({ event }) => event?.$case === 'claimed' && event.value.attempt === number, minutes);
    const waiting = await startWorker();
    const events = await follow(client, name, until, 4 * minutes);
    assert.equal(await waiting.end('SIGTERM'), 0);
    assert.equal(await owner.end('SIGTERM'), 0);
    assert.doesNotMatch(owner.log(), /no heartbeat could be written|no longer ours/);
    return { pid: owner.process.pid, events };
  };

  const first = await attempt(1, ({ event }) => event?.$case === 'checkpoint');
  const { latestCheckpoint } = (await client.getRun({ name }, soon)).run!;
  let resumedFrom: string | undefined;
  const second = await attempt(2, ({ event }) => {
    if (event?.$case === 'resumed') resumedFrom = event.value.checkpoint;
    return resumedFrom !== undefined && event?.$case === 'checkpoint';
  });
  assert.equal(resumedFrom, latestCheckpoint);
  const owners = second.events.flatMap(({ event }) => (event?.$case === 'claimed' ? [event.value.worker.split(':').at(-2)] : []));
  assert.deepEqual(owners, [String(first.pid), String(second.pid)]);
  await client.cancelRun({ name }, soon);
});
