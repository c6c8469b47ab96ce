/** Names of runs over real stores: creates at once, crashes between any two writes, and what version 0.1 left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import { type CreatedRecord, Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { RecordLog } from '#storage/record-log.js';
import { Crash, crashingStore } from '../../../test/support/crashing-store.js';
import { freshDirectoryStore } from '../../../test/support/fresh-store.js';
import { type EventBody, runQueue } from '../run/run-log.js';
import { runOrder } from './run-filter.js';
import { Runs } from './runs.js';

const name = 'projects/p/runs/r';
const signal = AbortSignal.timeout(60_000);
const open = (store: ObjectStore): Runs =>
  new Runs({
    store,
    watchPollMs: 10,
    onError: (error) => assert.fail(`${error}`),
  });
const everything = { filter: undefined, order: runOrder(''), page: { size: 10, after: undefined }, binding: '' };
const record = (specDigest = 'a', id = 'r'): CreatedRecord => ({
  state: RunState.QUEUED,
  reason: '',
  run: Run.fromPartial({ name: `projects/p/runs/${id}`, state: RunState.QUEUED }),
  trainSamples: 1n,
  specDigest,
  requestId: 'q',
  traceparent: '',
  tracestate: '',
  classes: [],
  dropKind: DropKind.DROPOUT,
});
const cancelled: EventBody = { $case: 'state', value: { state: RunState.CANCELLED, reason: 'cancelled', released: false } };

async function keysOf(store: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of listAll(store, prefix)) keys.push(key);
  return keys;
}

/** Everything that a list, a get and a worker see of the run must fit together. */
async function assertWhole(store: ObjectStore, uid: string | undefined): Promise<void> {
  const runs = open(store);
  const { items, unreadable } = await runs.list('p', everything, signal);
  assert.deepEqual(unreadable, []);
  assert.deepEqual(
    items.map((run) => run.uid),
    uid === undefined ? [] : [uid],
  );
  if (uid === undefined) return await assert.rejects(runs.get('p', 'r', signal), NotFound);
  const { run } = await runs.get('p', 'r', signal);
  assert.equal(run.uid, uid);
  if (run.state === RunState.QUEUED)
    assert.ok(
      (await runQueue(store).entries()).some((entry) => entry.uid === uid),
      'workers find it',
    );
}

test('of many creates at once with two specs, one spec wins, and all of its callers get the same run', async () => {
  const { store } = await freshDirectoryStore();
  for (let round = 0; round < 5; round++) {
    const digests = ['a', 'b', 'a', 'b', 'a', 'b'];
    const results = await Promise.allSettled(digests.map((digest) => open(store).create('p', 'r', record(digest), signal)));
    const won = results.flatMap((result, k) => (result.status === 'fulfilled' ? [{ digest: digests[k], uid: result.value.run.uid }] : []));
    assert.equal(won.length, 3);
    assert.equal(new Set(won.map(({ digest, uid }) => `${digest} ${uid}`)).size, 1);
    for (const result of results)
      if (result.status === 'rejected') assert.ok(result.reason instanceof AlreadyExists, String(result.reason));
    await assertWhole(store, won[0]!.uid);
    await open(store).change('p', 'r', () => cancelled, signal);
    const deletes = await Promise.allSettled([1, 2, 3].map(() => open(store).delete('p', 'r', '', signal)));
    assert.equal(deletes.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const result of deletes) if (result.status === 'rejected') assert.ok(result.reason instanceof NotFound, String(result.reason));
    await assertWhole(store, undefined);
  }
});

test('a create that dies at any write leaves nothing that shows, or a whole run; it can be repeated and deleted', async () => {
  for (let survives = 0; ; survives++) {
    const { store } = await freshDirectoryStore();
    const dying = crashingStore(store, survives);
    const died = await open(dying.store)
      .create('p', 'r', record(), signal)
      .then(() => false)
      .catch((error) => error instanceof Crash || assert.fail(error));
    const found = await open(store)
      .get('p', 'r', signal)
      .catch(() => undefined);
    await assertWhole(store, found?.run.uid);
    if (survives % 2 === 0)
      await open(store)
        .delete('p', 'r', '', signal)
        .catch(() => {});
    const again = found === undefined ? record('b') : record();
    const { run } = await open(store).create('p', 'r', again, signal);
    if (found !== undefined && survives % 2 === 1) assert.equal(run.uid, found.run.uid);
    await assertWhole(store, run.uid);
    if (!died) break;
    assert.ok(survives < 20);
  }
});

test('a delete that dies at any write leaves the ended run or none; the rest goes with the next call, and the name lives', async () => {
  for (let survives = 0; ; survives++) {
    const { store } = await freshDirectoryStore();
    const first = await open(store).create('p', 'r', record(), signal);
    await open(store).change('p', 'r', () => cancelled, signal);
    await store.put(`${name}/${first.run.uid}/checkpoints/c/manifest.json`, Buffer.from('x'));
    const dying = crashingStore(store, survives);
    const died = await open(dying.store)
      .delete('p', 'r', '', signal)
      .then(() => false)
      .catch((error) => error instanceof Crash || assert.fail(error));
    assert.equal(died, dying.crashed);
    const gone = survives > 0;
    await assertWhole(store, gone ? undefined : first.run.uid);
    if (survives % 2 === 0) {
      const repeated = open(store).delete('p', 'r', '', signal);
      await (gone ? assert.rejects(repeated, NotFound) : repeated);
      assert.deepEqual(await keysOf(store, `${name}/${first.run.uid}/`), []);
    }
    const { run } = await open(store).create('p', 'r', record('b'), signal);
    assert.notEqual(run.uid, first.run.uid);
    await assertWhole(store, run.uid);
    assert.deepEqual(await keysOf(store, `${name}/${first.run.uid}/`), [], 'what was left is gone');
    if (!died) break;
    assert.ok(survives < 30);
  }
});

test('etags, watches and late writes of a deleted run do not touch the next one', async () => {
  const { store } = await freshDirectoryStore();
  const runs = open(store);
  const first = await runs.create('p', 'r', record(), signal);
  const key = { project: 'p', id: 'r', uid: first.run.uid };
  const watching = (async () => {
    for await (const _ of open(store).watch(key, 1, signal));
  })();
  const ended = await runs.change('p', 'r', () => cancelled, signal);
  await watching;
  await open(store).delete('p', 'r', ended.run.etag, signal);
  const second = await runs.create('p', 'r', record(), signal);
  await runs.change('p', 'r', () => cancelled, signal);
  assert.notEqual(second.run.uid, first.run.uid);
  await assert.rejects(runs.delete('p', 'r', ended.run.etag, signal), /stale/);
  await assert.rejects(async () => {
    for await (const _ of runs.watch(key, 1, signal));
  }, NotFound);
  // A record, a heartbeat and a hint of a process that knows the deleted run.
  await store.put(`${name}/${first.run.uid}/log/000000000003`, Buffer.from('late'));
  await store.put(`${name}/${first.run.uid}/heartbeats/000000000002`, Buffer.from('late'));
  await runQueue(store).add(key);
  await assertWhole(store, second.run.uid);
  await runs.delete('p', 'r', '', signal);
  assert.deepEqual(await keysOf(store, `${name}/${first.run.uid}/`), []);
});

test('runs of version 0.1 are named with what to do, hide no others, stay as they are, and can be deleted', async () => {
  const { store } = await freshDirectoryStore();
  const old = new RecordLog(store, 'projects/p/runs/old-run/log');
  await old.append('created', { created: { run: { name: 'projects/p/runs/old-run' }, specDigest: 'a' } });
  await store.put('projects/p/runs/old-run/checkpoints/000000000001-01234567/manifest.json', Buffer.from('{}'));
  await store.put('projects/p/run-index/old-run', Buffer.from('{}'));
  await store.put('queue/runs/p/old-run', Buffer.from('{}'));
  const before = await keysOf(store, '');
  const runs = open(store);
  const refused = (error: unknown) => error instanceof FailedPrecondition && /version 0\.1.*or delete it/.test(error.message);
  await assert.rejects(runs.get('p', 'old-run', signal), refused);
  await assert.rejects(runs.create('p', 'old-run', record('a', 'old-run'), signal), refused);
  await assert.rejects(
    runs.change('p', 'old-run', () => cancelled, signal),
    refused,
  );
  assert.deepEqual(await keysOf(store, ''), before, 'nothing was changed');
  for (const id of ['new', 'old', 'old-s']) await runs.create('p', id, record('a', id), signal);
  for (const order of ['name', 'create_time desc']) {
    const { items, unreadable } = await runs.list('p', { ...everything, order: runOrder(order) }, signal);
    assert.deepEqual(items.map((run) => run.name.split('/')[3]).sort(), ['new', 'old', 'old-s']);
    assert.deepEqual(
      unreadable.map((run) => run.name),
      ['projects/p/runs/old-run'],
    );
    assert.match(unreadable[0]!.reason, /version 0\.1/);
  }
  assert.equal((await runs.queued(signal)).length, 3);
  await runs.delete('p', 'old-run', '', signal);
  await assert.rejects(runs.get('p', 'old-run', signal), NotFound);
  for (const prefix of ['projects/p/runs/old-run/', 'projects/p/run-index/', 'queue/']) assert.deepEqual(await keysOf(store, prefix), []);
  assert.equal((await runs.create('p', 'old-run', record('b', 'old-run'), signal)).run.state, RunState.QUEUED);
});
