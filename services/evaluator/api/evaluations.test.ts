/** Names of evaluations over a real store: creates at once, crashes between any two writes, and what version 0.1 left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Aborted, AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { Evaluation, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { LogDamaged } from '#storage/log-record.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { countedStore } from '../../../test/support/counted-store.js';
import { Crash, crashingStore } from '../../../test/support/crashing-store.js';
import { freshDirectoryStore } from '../../../test/support/fresh-store.js';
import { evaluationQueue } from '../evaluation/evaluation-log.js';
import { Evaluations } from './evaluations.js';

const name = 'projects/p/evaluations/e';
const run = 'projects/p/runs/r';
const runUid = '0123456789abcdef'.repeat(2);
const signal = AbortSignal.timeout(60_000);
const open = (store: ObjectStore): Evaluations => new Evaluations({ store, watchPollMs: 10, onError: (error) => assert.fail(`${error}`) });
const everything = { size: 10, after: undefined };
const request = (specDigest = 'a', id = 'e') => ({
  project: 'p',
  id,
  specDigest,
  requestId: 'q',
  runUid,
  evaluation: Evaluation.fromPartial({
    name: `projects/p/evaluations/${id}`,
    state: EvaluationState.PENDING,
    spec: { checkpoint: `${run}/checkpoints/c` },
  }),
});
const cancel = (store: ObjectStore) => open(store).change('p', 'e', () => ({ kind: 'cancelled' }), signal);

async function keysOf(store: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of listAll(store, prefix)) keys.push(key);
  return keys;
}

async function assertWhole(store: ObjectStore, uid: string | undefined): Promise<void> {
  const { items, unreadable } = await open(store).list('p', everything, '', signal);
  assert.deepEqual(unreadable, []);
  assert.deepEqual(
    items.map((evaluation) => evaluation.uid),
    uid === undefined ? [] : [uid],
  );
  if (uid === undefined) return await assert.rejects(open(store).get('p', 'e', signal), NotFound);
  const { evaluation } = await open(store).get('p', 'e', signal);
  assert.equal(evaluation.uid, uid);
  if (evaluation.state !== EvaluationState.PENDING) return;
  assert.ok(
    (await evaluationQueue(store).entries()).some((entry) => entry.uid === uid),
    'workers find it',
  );
  assert.deepEqual(await keysOf(store, `${run}/${runUid}/checkpoint-pins/c/${uid}`), [`${run}/${runUid}/checkpoint-pins/c/${uid}`]);
}

test('of creates at once, one wins; after its deletion the name gets another uid, and nothing is left of the first', async () => {
  const { store } = await freshDirectoryStore();
  const uids = new Set<string>();
  for (let round = 0; round < 4; round++) {
    const digests = ['a', 'b', 'a', 'b'];
    const results = await Promise.allSettled(digests.map((digest) => open(store).create(request(digest), signal)));
    const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    assert.equal(won.length, 2);
    assert.equal(won[0]!.uid, won[1]!.uid);
    for (const result of results)
      if (result.status === 'rejected') assert.ok(result.reason instanceof AlreadyExists, String(result.reason));
    await assertWhole(store, won[0]!.uid);
    await assert.rejects(open(store).delete('p', 'e', '', signal), FailedPrecondition);
    const { etag } = await cancel(store);
    await assert.rejects(open(store).delete('p', 'e', won[0]!.etag, signal), Aborted);
    await open(store).delete('p', 'e', etag, signal);
    await assertWhole(store, undefined);
    assert.deepEqual(await keysOf(store, run), [], 'no pin is left');
    assert.deepEqual(
      (await keysOf(store, `${name}/`)).filter((key) => !key.includes('/incarnations/')),
      [],
    );
    uids.add(won[0]!.uid);
  }
  assert.equal(uids.size, 4);
});

test('a create or delete that dies at any write leaves a whole evaluation or none, and the name lives', async () => {
  for (const what of ['create', 'delete'] as const)
    for (let survives = 0; ; survives++) {
      const { store } = await freshDirectoryStore();
      if (what === 'delete') {
        await open(store).create(request(), signal);
        await cancel(store);
      }
      const dying = open(crashingStore(store, survives).store);
      const died = await (what === 'create' ? dying.create(request(), signal) : dying.delete('p', 'e', '', signal))
        .then(() => false)
        .catch((error) => error instanceof Crash || assert.fail(error));
      const found = await open(store)
        .get('p', 'e', signal)
        .catch(() => undefined);
      await assertWhole(store, found?.evaluation.uid);
      if (found !== undefined && found.evaluation.state === EvaluationState.PENDING) await cancel(store);
      await open(store)
        .delete('p', 'e', '', signal)
        .catch((error) => assert.ok(error instanceof NotFound, String(error)));
      const again = await open(store).create(request('b'), signal);
      assert.notEqual(again.uid, found?.evaluation.uid);
      await assertWhole(store, again.uid);
      if (!died) break;
      assert.ok(survives < 30);
    }
});

test('evaluations of version 0.1 are named with what to do, hide no others, and can be deleted', async () => {
  const { store } = await freshDirectoryStore();
  await store.put(`${name}/log/000000000001`, Buffer.from('{}'));
  await store.put('projects/p/evaluation-index/e', Buffer.from('{}'));
  await store.put('queue/evaluations/p/e', Buffer.from('{}'));
  const before = await keysOf(store, '');
  const refused = (error: unknown) => error instanceof FailedPrecondition && /version 0\.1.*or delete it/.test(error.message);
  await assert.rejects(open(store).get('p', 'e', signal), refused);
  await assert.rejects(open(store).create(request(), signal), refused);
  assert.deepEqual(await keysOf(store, ''), before, 'nothing was changed');
  await open(store).create(request('a', 'f'), signal);
  const { items, unreadable } = await open(store).list('p', everything, '', signal);
  assert.deepEqual(
    items.map((evaluation) => evaluation.name),
    ['projects/p/evaluations/f'],
  );
  assert.deepEqual(
    unreadable.map((evaluation) => evaluation.name),
    [name],
  );
  await open(store).delete('p', 'e', '', signal);
  await assert.rejects(open(store).get('p', 'e', signal), NotFound);
  assert.deepEqual(await keysOf(store, 'queue/'), []);
  assert.equal((await open(store).create(request(), signal)).state, EvaluationState.PENDING);
});

test('evaluations that are damaged are named by lists, hide no others, and can be cancelled, deleted and created again', async (t) => {
  const { store } = await freshDirectoryStore();
  const writer = open(store);
  const kinds: Record<string, (records: string[]) => Promise<unknown>> = {
    hole: ([, second]) => store.delete(second!),
    empty: ([, second]) => store.put(second!, Buffer.alloc(0)),
    foreign: async ([first, second]) => store.put(first!, (await store.get(second!)).bytes),
    headless: ([first]) => store.delete(first!),
    flipped: async ([first]) => {
      const { bytes } = await store.get(first!);
      bytes[bytes.length >> 1]! ^= 1;
      await store.put(first!, bytes);
    },
    text: ([, , third]) => store.put(third!, Buffer.from('no JSON')),
    shape: ([, second]) => store.put(second!, Buffer.from('[1,2,3]')),
  };
  for (const [id, harm] of Object.entries(kinds)) {
    const { uid } = await writer.create(request('a', id), signal);
    for (const samplesDone of [1, 2]) await writer.change('p', id, () => ({ kind: 'progress', samplesDone, samplesTotal: 3 }), signal);
    await harm(await keysOf(store, `projects/p/evaluations/${id}/${uid}/log/`));
  }
  await writer.create(request('a', 'whole'), signal);
  const evaluations = open(store);
  t.after(() => evaluations.close());
  const listed = async () => {
    const { items, unreadable } = await evaluations.list('p', everything, '', signal);
    return { whole: items.map((item) => item.name.split('/')[3]), damaged: unreadable.map((item) => item.name.split('/')[3]) };
  };
  for (let look = 0; look < 2; look++) assert.deepEqual(await listed(), { whole: ['whole'], damaged: Object.keys(kinds).sort() });
  assert.deepEqual(await evaluations.queued(signal), [{ project: 'p', waits: true }]);
  for (const id of Object.keys(kinds)) {
    for (let look = 0; look < 2; look++) await assert.rejects(evaluations.get('p', id, signal), LogDamaged);
    for (let look = 0; look < 2; look++) {
      const cancelled = await evaluations.cancel('p', id, () => ({ kind: 'cancelled' }), signal);
      assert.equal(cancelled.state, EvaluationState.CANCELLED);
      assert.match(cancelled.failure, /damaged/);
    }
    assert.ok(!(await evaluationQueue(store).entries(signal)).some((entry) => entry.id === id), 'no worker looks at it any more');
    await assert.rejects(evaluations.delete('p', id, 'etag', signal), Aborted);
    await evaluations.delete('p', id, '', signal);
    await assert.rejects(evaluations.get('p', id, signal), NotFound);
    assert.equal((await evaluations.create(request('b', id), signal)).state, EvaluationState.PENDING);
  }
  assert.deepEqual(await listed(), { whole: [...Object.keys(kinds), 'whole'].sort(), damaged: [] });
});

test('all who watch an evaluation share one reader of its log, and get its end', async (t) => {
  const store = countedStore((await freshDirectoryStore()).store);
  const evaluations = new Evaluations({ store, watchPollMs: 20, onError: (error) => assert.fail(`${error}`) });
  t.after(() => evaluations.close());
  const writer = open(store);
  await writer.create(request(), signal);
  let begun = 0;
  const watch = async (): Promise<EvaluationState[]> => {
    const states: EvaluationState[] = [];
    for await (const { state } of evaluations.watch('p', 'e', signal)) {
      if (states.push(state) === 1) begun++;
    }
    return states;
  };
  const all = Array.from({ length: 200 }, watch);
  while (begun < all.length) await delay(5);
  const before = store.counts.gets;
  await delay(400);
  assert.ok(store.counts.gets - before < 200, `${store.counts.gets - before} reads in 20 polls for 200 watchers`);
  await writer.change('p', 'e', () => ({ kind: 'cancelled' }), signal);
  for (const states of await Promise.all(all)) assert.deepEqual(states, [EvaluationState.PENDING, EvaluationState.CANCELLED]);
});
