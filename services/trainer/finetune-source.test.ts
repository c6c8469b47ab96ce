/** What a finetuned run starts from when the run that it was to start from is deleted, or deleted and created again, before a worker takes it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { readManifest } from '#storage/checkpoint.js';
import { encodeManifest } from '#storage/checkpoint-manifest.js';
import { follow, TrainingServices } from '../../test/support/training-services.js';

const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

test('a run never starts from the weights of another training that has the name of its source by now', { timeout: 180_000 }, async (t) => {
  const services = await TrainingServices.open();
  t.after(() => services.close());
  const { store } = services;
  const data = await services.data();
  const first = await services.trainer(['--data', data]);
  const spec = services.spec({ epochs: 1 });
  const trained = async (runId: string) => {
    const { name } = (await first.client.createRun({ parent, runId, spec }, soon)).run!;
    await follow(first.client, name);
    return (await first.client.getRun({ name }, soon)).run!;
  };
  const source = await trained('source');
  const lost = await trained('lost');
  await first.service.close();

  const api = (await services.trainer(['--role', 'api'])).client;
  const tune = async (runId: string, finetune: string) =>
    (await api.createRun({ parent, runId, spec: services.spec({ epochs: 1, finetune }) }, soon)).run!.name;
  const fromEarlier = await tune('from-earlier', source.latestCheckpoint);
  const fromLost = await tune('from-lost', lost.latestCheckpoint);

  const { manifest } = await readManifest(store, await services.manifestKeyOf(source.latestCheckpoint));
  const parts = await Promise.all(manifest.parts.map(async (part) => ({ part, bytes: (await store.get(part.key)).bytes })));
  for (const { name } of [source, lost]) await api.deleteRun({ name }, soon);
  const again = (await api.createRun({ parent, runId: 'source', spec }, soon)).run!;
  await api.cancelRun({ name: again.name }, soon);
  assert.notEqual(again.uid, source.uid);
  // Ids of checkpoints are random, so in reality this needs luck.
  const moved = (key: string): string => key.replace(source.uid, again.uid);
  for (const { part, bytes } of parts) await store.put(moved(part.key), bytes);
  const copy = { ...manifest, parts: manifest.parts.map((part) => ({ ...part, key: moved(part.key) })) };
  await store.put(await services.manifestKeyOf(source.latestCheckpoint), encodeManifest(copy).bytes);
  const fromLater = await tune('from-later', source.latestCheckpoint);

  const { client } = await services.trainer(['--data', data]);
  const ended = async (name: string) => {
    await follow(client, name);
    return (await client.getRun({ name }, soon)).run!;
  };
  for (const [name, run] of [
    [fromEarlier, source.name],
    [fromLost, lost.name],
  ] as const) {
    const { state, attempt, failure } = await ended(name);
    assert.deepEqual([state, attempt], [RunState.FAILED, 1], failure);
    assert.ok(failure.includes(`${run} was deleted after this run had been created`), failure);
  }
  const later = await ended(fromLater);
  assert.equal(later.state, RunState.SUCCEEDED, later.failure);
});
