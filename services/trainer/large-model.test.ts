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

  const owners: string[] = [];
  /** One worker claims the run and keeps it until `until`, while another one waits for it all the time. */
  const attempt = async (until: (event: RunEvent) => boolean): Promise<void> => {
    const owner = await startWorker();
    owners.push(String(owner.process.pid));
    await follow(client, name, ({ event }) => event?.$case === 'claimed' && event.value.attempt === owners.length, minutes);
    const waiting = await startWorker();
    const events = await follow(client, name, until, 4 * minutes);
    assert.equal(await waiting.end('SIGTERM'), 0);
    assert.equal(await owner.end('SIGTERM'), 0);
    const claims = events.flatMap(({ event }) => (event?.$case === 'claimed' ? [event.value.worker.split(':').at(-2)] : []));
    assert.deepEqual(claims, owners, `another worker got the run; its owner said:\n${owner.log()}`);
  };

  await attempt(({ event }) => event?.$case === 'checkpoint');
  const { latestCheckpoint } = (await client.getRun({ name }, soon)).run!;
  let resumedFrom: string | undefined;
  await attempt(({ event }) => {
    if (event?.$case === 'resumed') resumedFrom = event.value.checkpoint;
    return resumedFrom !== undefined && event?.$case === 'checkpoint';
  });
  assert.equal(resumedFrom, latestCheckpoint);
  await client.cancelRun({ name }, soon);
});
