/** Workers that help others with their work: whom they help first, and when they go. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { heartbeatKey } from '#storage/lease.js';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { notedStore } from '../../test/support/noted-store.js';
import { enqueue, folderOf, type SimpleOptions, simpleLog, simpleWorker } from '../../test/support/simple-work.js';
import { until } from '../../test/support/until.js';
import type { Place } from './queue-hints.js';
import { type QueueEntry, QueueIndex } from './queue-index.js';
import { QueueTouch } from './queue-touch.js';

const { store } = await freshDirectoryStore();
let queues = 0;
const newQueue = (): QueueIndex => new QueueIndex(store, `joining-${++queues}`);
const config = { workers: 1, pollMs: 10, leaseTtlMs: 60_000, maxAttempts: 3, backoffMs: 1 };

/** Work of a living owner, which has so many workers, and needs so many more. */
async function owned(
  t: TestContext,
  queue: QueueIndex,
  work: Omit<QueueEntry, 'uid'>,
  place: Place,
  members: number,
  needs = 1,
): Promise<QueueEntry> {
  const entry = await enqueue(store, queue, work, place);
  const log = simpleLog(store, entry);
  await log.refresh();
  const { fence } = (await log.append(() => ({ kind: 'claimed', worker: 'other:1' })))!;
  await queue.hints.remove('claim', entry, place);
  const offer = { owner: 'other:1', beat: 1, group: { address: 'nowhere:1', members, wants: 9, needs } };
  await store.put(heartbeatKey(`${folderOf(entry)}/heartbeats`, fence), Buffer.from(JSON.stringify(offer)));
  const touch = QueueTouch.start({ queue, entry, fence, intervalMs: 100, onError: () => {} });
  t.after(() => touch.stop());
  return entry;
}

function helper(t: TestContext, queue: QueueIndex, part: Partial<SimpleOptions>) {
  const done: string[] = [];
  const worker = simpleWorker(store, queue.prefix, {
    config,
    random: () => 0,
    join: async (entry, _, { leaving, sparedIf }) => {
      done.push(`joins ${entry.id}`);
      sparedIf(() => false);
      await new Promise<void>((resolve) => leaving.addEventListener('abort', () => resolve(), { once: true }));
      return true;
    },
    attempt: async ({ id }) => {
      done.push(`claims ${id}`);
      return { kind: 'done' };
    },
    ...part,
  });
  t.after(() => worker.stop());
  worker.start();
  return done;
}

test('what waits for members comes before what would be claimed after it, and after what comes before it', async (t) => {
  const queue = newQueue();
  const short = await owned(t, queue, { project: 'p', id: 'short' }, { priority: 0, sinceMs: 5 }, 1);
  await queue.hints.add('need', short, { priority: 0, sinceMs: 5 });
  await enqueue(store, queue, { project: 'p', id: 'younger' }, { priority: 0, sinceMs: 6 });
  await enqueue(store, queue, { project: 'p', id: 'older' }, { priority: 0, sinceMs: 4 });
  await enqueue(store, queue, { project: 'p', id: 'urgent' }, { priority: 1, sinceMs: 7 });
  const done = helper(t, queue, {});
  await until('two claims and a membership', () => done.length === 3);
  assert.deepEqual(done, ['claims urgent', 'claims older', 'joins short']);
});

test('a worker goes where members are needed if its owner can spare it, and stays otherwise', async (t) => {
  const queue = newQueue();
  const rich = await owned(t, queue, { project: 'p', id: 'rich' }, { priority: 0, sinceMs: 1 }, 2);
  await queue.hints.add('join', rich, { priority: 0, sinceMs: 1 });
  let isSpared = false;
  let asked = 0;
  const done: string[] = [];
  helper(t, queue, {
    join: async (entry, _, { leaving, sparedIf }) => {
      done.push(entry.id);
      sparedIf(() => {
        asked++;
        return isSpared;
      });
      await new Promise<void>((resolve) => leaving.addEventListener('abort', () => resolve(), { once: true }));
      return true;
    },
  });
  await until('a membership', () => done.length === 1);
  const short = await owned(t, queue, { project: 'p', id: 'short' }, { priority: 0, sinceMs: 2 }, 1);
  await queue.hints.add('need', short, { priority: 0, sinceMs: 2 });
  await until('several looks', () => asked > 3);
  assert.deepEqual(done, ['rich']);
  isSpared = true;
  await until('the other membership', () => done.length === 2);
  assert.deepEqual(done, ['rich', 'short']);
});

test('members count for the limit of a project, whether they would join or claim', async (t) => {
  const queue = newQueue();
  const full = await owned(t, queue, { project: 'limited', id: 'full' }, { priority: 0, sinceMs: 1 }, 3);
  for (const kind of ['join', 'need'] as const) await queue.hints.add(kind, full, { priority: 0, sinceMs: 1 });
  await enqueue(store, queue, { project: 'limited', id: 'waits' }, { priority: 0, sinceMs: 2 });
  await enqueue(store, queue, { project: 'free', id: 'first' }, { priority: 0, sinceMs: 3 });
  const done = helper(t, queue, { shares: { weightOf: () => 1, of: (project) => (project === 'limited' ? { workers: 3 } : {}) } });
  await until('the claim of the other project', () => done.length === 1);
  await delay(300);
  assert.deepEqual(done, ['claims first']);
  const wider = helper(t, queue, { shares: { weightOf: () => 1, of: () => ({ workers: 4 }) } });
  await until('a membership', () => wider.length === 1);
  assert.deepEqual(wider, ['joins full']);
});

test('a damaged log in a project with a limit keeps nobody from other work', async (t) => {
  const queue = newQueue();
  const place = { priority: 0, sinceMs: 1 };
  const damaged = await owned(t, queue, { project: 'limited', id: 'damaged' }, place, 1);
  const log = `${folderOf(damaged)}/log/`;
  for (const { key } of (await store.list(log)).objects) await store.put(key, Buffer.from('no record'));
  const short = await owned(t, queue, { project: 'limited', id: 'short' }, place, 1);
  await queue.hints.add('need', short, place);
  await enqueue(store, queue, { project: 'free', id: 'urgent' }, { priority: 1, sinceMs: 2 });
  const done = helper(t, queue, { shares: { weightOf: () => 1, of: (project) => (project === 'limited' ? { workers: 3 } : {}) } });
  await until('a claim and a membership', () => done.length === 2);
  assert.deepEqual(done, ['claims urgent', 'joins short']);
});

test('a look asks once how many workers a project has, however much of it waits', async (t) => {
  const queue = newQueue();
  const place = { priority: 0, sinceMs: 1 };
  const full = await owned(t, queue, { project: 'limited', id: 'full' }, place, 3);
  for (let k = 0; k < 20; k++) await enqueue(store, queue, { project: 'limited', id: `w${k}` }, { priority: 0, sinceMs: k });
  const noted = notedStore(store);
  const worker = simpleWorker(noted.store, queue.prefix, {
    config,
    join: async () => false,
    shares: { weightOf: () => 1, of: () => ({ workers: 3 }) },
  });
  t.after(() => worker.stop());
  worker.start();
  const looks = () => noted.count(/^list joining-\d+-waiting/);
  await until('several looks', () => looks() >= 5);
  await worker.stop();
  const reads = noted.count(new RegExp(`^get ${folderOf(full)}/heartbeats`));
  assert.ok(reads > 0 && reads <= looks(), `${reads} reads in ${looks()} looks`);
});

/** A member that its owner can spare, and a hint of other work that needs members, which it would leave for. @returns whom it has joined, in order */
async function beside(t: TestContext, needs: number, part: Partial<SimpleOptions>): Promise<string[]> {
  const queue = newQueue();
  const rich = await owned(t, queue, { project: 'p', id: 'rich' }, { priority: 0, sinceMs: 1 }, 2, 0);
  await queue.hints.add('join', rich, { priority: 0, sinceMs: 1 });
  const noted = notedStore(store);
  const joined: string[] = [];
  const worker = simpleWorker(noted.store, queue.prefix, {
    config,
    random: () => 0,
    join: async (entry, _, { leaving }) => {
      joined.push(entry.id);
      if (entry.id !== 'rich') return false;
      await new Promise<void>((resolve) => leaving.addEventListener('abort', () => resolve(), { once: true }));
      return true;
    },
    ...part,
  });
  t.after(() => worker.stop());
  worker.start();
  await until('a membership', () => joined.length === 1);
  const other = await owned(t, queue, { project: 'p', id: 'other' }, { priority: 0, sinceMs: 2 }, 1, needs);
  await queue.hints.add('need', other, { priority: 0, sinceMs: 2 });
  // Those looks that see the hint, and those after which it is looked at again.
  const seen = noted.count(/^list joining-\d+-waiting/);
  await until('many looks', () => noted.count(/^list joining-\d+-waiting/) > seen + 30);
  return joined;
}

test('a member does not leave for work that it could not join', async (t) => {
  assert.deepEqual(await beside(t, 1, { mayJoin: () => false }), ['rich']);
});

test('a member does not leave for a hint that its owner has outgrown', async (t) => {
  assert.deepEqual(await beside(t, 0, {}), ['rich']);
});

test('work that no longer needs members, and still takes them, is joined by its other hint while that of its need is left over', async (t) => {
  const queue = newQueue();
  const place = { priority: 0, sinceMs: 1 };
  const met = await owned(t, queue, { project: 'p', id: 'met' }, place, 2, 0);
  for (const kind of ['join', 'need'] as const) await queue.hints.add(kind, met, place);
  const done = helper(t, queue, {});
  await until('a membership', () => done.length === 1);
  assert.deepEqual(done, ['joins met']);
});

test('nothing is read for work that this worker could not help with anyway', async (t) => {
  const queue = newQueue();
  const place = { priority: 0, sinceMs: 1 };
  const short = await owned(t, queue, { project: 'p', id: 'short' }, place, 1);
  await queue.hints.add('need', short, place);
  const noted = notedStore(store);
  let asked = 0;
  const worker = simpleWorker(noted.store, queue.prefix, {
    config,
    join: async () => assert.fail('it was joined'),
    mightJoin: ({ id }) => ++asked > 0 && id !== 'short',
    mayJoin: () => assert.fail('its log was read'),
  });
  t.after(() => worker.stop());
  worker.start();
  await until('several looks', () => asked > 5);
  assert.equal(noted.count(new RegExp(`^get ${folderOf(short)}/heartbeats`)), 0);
});
