// A run whose store has no room for its checkpoints waits, says so, and goes on when there is room; nothing of it is lost.
import assert from 'node:assert/strict';
import { readdir, statfs } from 'node:fs/promises';
import { test } from 'node:test';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { openStore } from '#storage/open-store.js';
import { smallDisk } from '../../test/support/small-disk.js';
import { follow, lossesOf, TrainingServices } from '../../test/support/training-services.js';

const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

test('there is no room for a checkpoint: the run waits with a status, and ends as an undisturbed one does', {
  timeout: 240_000,
}, async (t) => {
  const disk = await smallDisk(256 << 20);
  if ('skip' in disk) return t.skip(disk.skip);
  t.after(() => disk.remove());
  const services = await TrainingServices.open(undefined, disk.folder);
  t.after(() => services.close());
  const data = await services.data();
  const { client } = await services.trainer(['--data', data]);
  const spec = services.spec({ epochs: 4, saveCkptFreq: 1, saveCkptNum: 1 });
  const undisturbed = await client.createRun({ parent, runId: 'undisturbed', spec }, soon);
  const wanted = lossesOf(await follow(client, undisturbed.run!.name));

  const store = await openStore(services.storeUri);
  t.after(() => store.close());
  // Records of the log fit, a checkpoint does not.
  const used = await usedBytes(services.storeUri);
  await disk.resize(used + (1 << 20));
  const { run } = await client.createRun({ parent, runId: 'waits', spec }, soon);
  const waiting = await follow(client, run!.name, ({ event }) => event?.$case === 'status' && event.value.message !== '');
  const status = waiting.at(-1)!.event!;
  assert.ok(status.$case === 'status' && /no room for a checkpoint/.test(status.value.message), JSON.stringify(status));
  assert.ok(!status.value.message.includes(disk.folder), 'the log of the worker names the folder, the record does not');
  assert.equal((await client.getRun({ name: run!.name }, soon)).run!.state, RunState.RUNNING);
  assert.deepEqual((await client.listCheckpoints({ parent: run!.name }, soon)).checkpoints, []);
  await disk.resize(256 << 20);
  const events = await follow(client, run!.name);
  assert.equal((await client.getRun({ name: run!.name }, soon)).run!.state, RunState.SUCCEEDED);
  assert.deepEqual(lossesOf(events), wanted);
  assert.deepEqual(
    events.flatMap(({ event }) => (event?.$case === 'status' ? [event.value.message === ''] : [])),
    [false, true],
  );
  assert.equal(events.filter(({ event }) => event?.$case === 'claimed').length, 1);
  const names = await readdir(services.storeUri, { recursive: true });
  assert.deepEqual(
    names.filter((name) => name.includes('.tmp-')),
    [],
  );
});

async function usedBytes(folder: string): Promise<number> {
  const { bsize, blocks, bfree } = await statfs(folder);
  return bsize * (blocks - bfree);
}
