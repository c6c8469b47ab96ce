/** Runs that wait for the data service say so; runs whose batches it can never hold are refused, or fail at once. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { InvalidArgument } from '#rpc/client.js';
import { follow, TrainingServices } from '../../test/support/training-services.js';

let services: TrainingServices;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
/** A replica with this limit has half a MiB for batches; a batch of 96 images of 32 pixels needs more. */
const small = ['--max-bytes', String(1 << 20)];
const large = () => services.spec({ model: 'vit_micro_p8', inputSize: 32, batchSize: 96, evalManifest: '' });

before(async () => {
  services = await TrainingServices.open();
});
after(() => services.close());

test('CreateRun refuses a batch that no data replica can ever hold, and says what the limit is', async () => {
  const { address } = await services.dataReplica(0, small);
  const { client } = await services.trainer(['--role', 'api', '--data', address]);
  await assert.rejects(client.createRun({ parent, runId: 'large', spec: large() }, soon), (error) => {
    assert.ok(error instanceof InvalidArgument);
    assert.deepEqual(
      error.violations.map(({ field }) => field),
      ['spec.batch_size'],
    );
    assert.match(error.message, /max-bytes/);
    return true;
  });
  await client.createRun({ parent, runId: 'fits', spec: { ...large(), batchSize: 16 }, validateOnly: true }, soon);
});

test('a run whose batch stopped fitting fails at its first attempt, with the reason', { timeout: 120_000 }, async () => {
  const { address } = await services.dataReplica(0, small);
  const { client } = await services.trainer(['--role', 'api']);
  const { run } = await client.createRun({ parent, runId: 'late', spec: large() }, soon);
  const { service } = await services.trainer(['--role', 'worker', '--data', address]);
  await follow(client, run!.name);
  const ended = (await client.getRun({ name: run!.name }, soon)).run!;
  await service.close();
  assert.deepEqual([ended.state, ended.attempt], [RunState.FAILED, 1]);
  assert.match(ended.failure, /can never fit/);
});

test('a run that waits for data says so and why, until it goes on', { timeout: 180_000 }, async () => {
  const { service, address } = await services.dataReplica();
  await service.close();
  const { client } = await services.trainer(['--data', address]);
  const { run } = await client.createRun({ parent, runId: 'waits', spec: services.spec({ evalManifest: '', epochs: 1 }) }, soon);
  const name = run!.name;
  let message = '';
  while (message === '') {
    message = (await client.getRun({ name }, soon)).run!.statusMessage;
    await delay(100);
  }
  assert.match(message, /^waits for data; the last answer: .*unavailable/s);
  assert.ok(!message.includes(address), message);
  await services.dataReplica(Number(address.split(':').at(-1)));
  const events = await follow(client, name);
  const ended = (await client.getRun({ name }, soon)).run!;
  assert.deepEqual([ended.state, ended.failure, ended.statusMessage], [RunState.SUCCEEDED, '', '']);
  const messages = events.flatMap(({ event }) => (event?.$case === 'status' ? [event.value.message] : []));
  assert.equal(messages.at(-1), '');
  assert.ok(messages.length <= 6, messages.join('; '));
});
