/** The checks of logs and checkpoints find what they are for: whole ones pass, and every falsified one is complained of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { saveCheckpoint } from '#storage/checkpoint.js';
import type { ObjectStore } from '#storage/object-store.js';
import { RecordLog } from '#storage/record-log.js';
import { freshDirectoryStore } from '../support/fresh-store.js';
import { checkCheckpoints, checkLogs } from './check-run.js';

const RUN = 'projects/p/runs/r';

test('a log with a gap, a changed or foreign record, or one by a former owner is complained of', async () => {
  const owned = `${RUN}/${'a'.repeat(32)}`;
  const write = async (): Promise<{ store: ObjectStore; key: (seq: number) => string }> => {
    const store = (await freshDirectoryStore()).store;
    const logs = ['api', 'first', 'second'].map((writer) => new RecordLog(store, `${owned}/log`, { writer }));
    for (const [writer, kind] of [
      [0, 'created'],
      [1, 'claimed'],
      [1, 'steps'],
      [2, 'claimed'],
      [2, 'steps'],
    ] as const) {
      for await (const _ of logs[writer]!.read({ after: logs[writer]!.head }));
      await logs[writer]!.append(kind, { n: 1 });
    }
    return { store, key: (seq) => `${owned}/log/${String(seq).padStart(12, '0')}` };
  };
  const whole = await write();
  assert.deepEqual(await checkLogs(whole.store, owned), { wrong: [], claims: 2 });
  const complaints = async ({ store }: { store: ObjectStore }): Promise<string> => (await checkLogs(store, owned)).wrong.join('\n');

  const late = await write();
  const former = new RecordLog(late.store, `${owned}/log`, { writer: 'first' });
  for await (const _ of former.read());
  await former.append('steps', { n: 2 });
  assert.match(await complaints(late), /record 6 \(steps\) is not by the owner of the newest claim/);

  const gap = await write();
  await gap.store.delete(gap.key(3));
  assert.match(await complaints(gap), /record 4 follows 2/);

  const changed = await write();
  const { bytes } = await changed.store.get(changed.key(3));
  await changed.store.put(changed.key(3), Buffer.from(bytes.toString().replace('"n":1', '"n":2')));
  assert.match(await complaints(changed), /its content was changed/);

  // A record that was lost and written again by somebody who did not know the ones after it.
  const again = await write();
  await again.store.delete(again.key(5));
  await again.store.delete(again.key(4));
  const { store: other } = await write();
  await again.store.put(again.key(4), (await other.get(again.key(4))).bytes);
  assert.match(await complaints(again), /record 4 does not name the one before it/);

  assert.match((await checkLogs((await freshDirectoryStore()).store, owned)).wrong.join('\n'), /the store has no log of it/);
});

test('a checkpoint whose part is missing or changed is complained of, unless it was damaged on purpose', async () => {
  const store = (await freshDirectoryStore()).store;
  const owned = `${RUN}/${'a'.repeat(32)}`;
  const tensor = { name: 'w', dtype: 'F32' as const, shape: [2], data: new Float32Array([1, 2]) };
  const rest = { step: 4, epoch: 1, logSequence: 3, fingerprint: 'f', epochAccumulators: null, best: null };
  const saved = await saveCheckpoint(store, `${owned}/checkpoints`, { ...rest, weights: [tensor], optimizer: [tensor] });
  const [weights, optimizer] = saved.manifest.parts.map(({ key }) => key) as [string, string];
  const none: ReadonlySet<string> = new Set();
  assert.deepEqual(await checkCheckpoints(store, owned, none), []);
  const { bytes } = await store.get(weights);
  bytes[bytes.length - 1]! ^= 0x40;
  await store.put(weights, bytes);
  assert.match((await checkCheckpoints(store, owned, none)).join('\n'), /weights.* is damaged/);
  assert.deepEqual(await checkCheckpoints(store, owned, new Set([weights])), []);
  await store.delete(optimizer);
  assert.match(
    (await checkCheckpoints(store, owned, new Set([weights]))).join('\n'),
    /optimizer.* is missing, although .*manifest.json names it/,
  );
});

test('a checkpoint that is deleted while it is checked is none any more', async () => {
  const owned = `${RUN}/${'a'.repeat(32)}`;
  const tensor = { name: 'w', dtype: 'F32' as const, shape: [2], data: new Float32Array([1, 2]) };
  const rest = { step: 4, epoch: 1, logSequence: 3, fingerprint: 'f', epochAccumulators: null, best: null };
  for (const at of ['manifest', 'part'] as const) {
    const { store } = await freshDirectoryStore();
    const { manifestKey, manifest } = await saveCheckpoint(store, `${owned}/checkpoints`, { ...rest, weights: [tensor] });
    const keys = { manifest: manifestKey, part: manifest.parts[0]!.key };
    let deleted = false;
    const get: ObjectStore['get'] = async (key, options) => {
      if (key === keys[at]) for (const gone of Object.values(keys)) await store.delete(gone);
      deleted ||= key === keys[at];
      return await store.get(key, options);
    };
    const meanwhile: ObjectStore = Object.assign(Object.create(store), { get, list: store.list.bind(store) });
    assert.deepEqual(await checkCheckpoints(meanwhile, owned, new Set()), []);
    assert.ok(deleted, at);
  }
});
