/** What looking for work costs the store, and that nothing is overlooked for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Heartbeat, heartbeatKey } from '#storage/lease.js';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { notedStore } from '../../test/support/noted-store.js';
import { enqueue, folderOf, type SimpleEvent, type SimpleOptions, simpleLog, simpleWorker } from '../../test/support/simple-work.js';
import { until } from '../../test/support/until.js';
import { ClaimHints } from './claim-hints.js';
import type { QueueEntry } from './queue-entry.js';
import { QueueIndex } from './queue-index.js';
import { QueueTouch } from './queue-touch.js';

const { store } = await freshDirectoryStore();
let queues = 0;
const prefixOf = (): string => `q${++queues}-queue`;
const config = { workers: 1, pollMs: 10, leaseTtlMs: 60_000, maxAttempts: 3, backoffMs: 1 };
const forever: SimpleOptions['attempt'] = async ({ claimed, stopping }) => {
  const signal = AbortSignal.any([claimed.signal, stopping]);
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  throw new Error('it was stopped');
};

async function append(entry: QueueEntry, event: SimpleEvent): Promise<number> {
  const log = simpleLog(store, entry);
  await log.refresh();
  return (await log.append(() => event))!.fence;
}

/** Claims work for an owner of which nothing more is heard. */
const own = (entry: QueueEntry): Promise<number> => append(entry, { kind: 'claimed', worker: 'other:1' });

const isOver = async (entry: QueueEntry): Promise<boolean> => (await simpleLog(store, entry).refresh())?.state === 'over';

test('an owner shows life where a third of a TTL is no whole number of milliseconds', async () => {
  const queue = new QueueIndex(store, prefixOf());
  const entry = await enqueue(store, queue, { project: 'thirds', id: 'w' });
  const touch = QueueTouch.start({ queue, entry, fence: 2, intervalMs: 5000 / 3, onError: assert.ifError });
  await until('a sign of life', async () => (await queue.touchedBy(entry)) === 2);
  await touch.stop();
});

test('a worker whose slots are taken asks nothing about the queue', async (t) => {
  const prefix = prefixOf();
  const queue = new QueueIndex(store, prefix);
  for (let k = 0; k < 5; k++) await enqueue(store, queue, { project: 'full', id: `w${k}` }, { priority: 0, sinceMs: k });
  const noted = notedStore(store);
  let active = 0;
  const worker = simpleWorker(noted.store, prefix, {
    attempt: forever,
    onActive: (now) => {
      active = now;
    },
  });
  worker.start();
  t.after(() => worker.stop());
  await until('its claim', () => active === 1 && noted.count(/^delete .*-waiting/) === 1);
  noted.calls.length = 0;
  await delay(500);
  assert.equal(noted.count(/-queue\/|-waiting\//), 0, noted.calls.join());
  await worker.stop();
});

test('where nothing waits, a look is one request, however much others work on, and no log is read', async (t) => {
  const prefix = prefixOf();
  const queue = new QueueIndex(store, prefix);
  const touches: QueueTouch[] = [];
  for (let k = 0; k < 30; k++) {
    const entry = await enqueue(store, queue, { project: 'others', id: `w${k}` });
    touches.push(QueueTouch.start({ queue, entry, fence: await own(entry), intervalMs: 50, onError: assert.ifError }));
  }
  await until('all owners to be seen', async () => (await queue.listed()).every(({ touched }) => touched));
  const noted = notedStore(store);
  let claimed = 0;
  const worker = simpleWorker(noted.store, prefix, { config: { ...config, leaseTtlMs: 1000 }, onActive: () => claimed++ });
  worker.start();
  t.after(() => worker.stop());
  await until('many looks', () => noted.count(/^list .*-waiting/) >= 100);
  await worker.stop();
  await Promise.all(touches.map((touch) => touch.stop()));
  const looks = noted.count(/^list .*-waiting/);
  // Sweeps list the queue, five times in a TTL; marks are put at one look of eight on average.
  const others = noted.calls.filter((call) => !/^(list|put) .*-waiting/.test(call));
  assert.ok(
    others.every((call) => /^list .*-queue/.test(call)),
    others.join(),
  );
  assert.ok(others.length < looks / 4 && noted.count(/^put/) < looks / 2, `${looks} looks, ${others.length} sweeps`);
  assert.equal(claimed, 0);
});

test('a look at a long queue reads a bounded number of logs', async (t) => {
  const prefix = prefixOf();
  const queue = new QueueIndex(store, prefix);
  for (let k = 0; k < 120; k++) await enqueue(store, queue, { project: 'long', id: `w${k}` }, { priority: 0, sinceMs: k });
  const noted = notedStore(store);
  let depth = 0;
  const asked = new Set<string>();
  const worker = simpleWorker(noted.store, prefix, {
    // Each of several looks finds others that it has not asked about, although it may have none of them.
    mayClaim: async ({ id }) => {
      asked.add(id);
      return false;
    },
    config: { ...config, pollMs: 50 },
    onDepth: (waiting) => {
      depth = waiting;
    },
  });
  worker.start();
  t.after(() => worker.stop());
  await until('all to be asked about', () => asked.size === 120);
  const looks = noted.count(/^list .*-waiting/);
  await worker.stop();
  assert.equal(depth, 120);
  assert.ok(noted.count(/^list .*\/log/) <= 33 * looks, `${noted.count(/^list .*\/log/)} in ${looks} looks`);
  assert.ok(looks >= 4);
});

test('work without a hint is found, and gets one: what version 0.2 queued, and what a crash left', async (t) => {
  const prefix = prefixOf();
  const queue = new QueueIndex(store, prefix);
  const entries: QueueEntry[] = [];
  for (let k = 0; k < 3; k++) entries.push(await enqueue(store, queue, { project: 'old', id: `w${k}` }));
  // An owner that gave its work back, and ended before it wrote the hint.
  await queue.touch(entries[2]!, await own(entries[2]!));
  await append(entries[2]!, { kind: 'queued', text: '' });
  let seen = 0;
  const watcher = simpleWorker(store, prefix, {
    mayClaim: async () => false,
    onDepth: (waiting) => {
      seen = Math.max(seen, waiting);
    },
    config: { ...config, leaseTtlMs: 600 },
  });
  watcher.start();
  t.after(() => watcher.stop());
  await until('hints of all', async () => (await queue.hints.list()).claims.length === 3);
  const worker = simpleWorker(store, prefix, { config: { ...config, leaseTtlMs: 600 } });
  worker.start();
  t.after(() => worker.stop());
  for (const entry of entries) await until(`the end of ${entry.id}`, () => isOver(entry));
  await until('an empty queue', async () => (await queue.listed()).length === 0 && (await queue.hints.list()).claims.length === 0);
  await until('the depth to be told', () => seen === 3);
});

test('an owner of this version that is gone is found by the listing, and one of version 0.2 that lives keeps its work', async (t) => {
  const prefix = prefixOf();
  const queue = new QueueIndex(store, prefix);
  const ttl = { ...config, leaseTtlMs: 600 };
  const gone = await enqueue(store, queue, { project: 'two', id: 'gone' }, { priority: 0, sinceMs: 1 });
  await queue.touch(gone, await own(gone));
  await queue.hints.remove('claim', gone, { priority: 0, sinceMs: 1 });
  // Its former owner was of this version, its present one is not: nobody touches the entry any more, but it has a heartbeat.
  const lives = await enqueue(store, queue, { project: 'two', id: 'lives' });
  await queue.touch(lives, 1);
  const fence = await own(lives);
  const beat = await Heartbeat.start(store, heartbeatKey(`${folderOf(lives)}/heartbeats`, fence), {
    ...{ owner: 'other:1', intervalMs: 100, lostAfterMs: 500 },
    onLost: () => assert.fail('no heartbeat was possible'),
  });
  t.after(() => beat.stop());
  const noted = notedStore(store);
  const worker = simpleWorker(noted.store, prefix, { config: ttl });
  worker.start();
  t.after(() => worker.stop());
  await until('the end of what had no owner', () => isOver(gone));
  assert.equal(noted.count(new RegExp(`^get ${folderOf(gone)}/heartbeats`)), 0, 'its heartbeats need not be read');
  await delay(1500);
  assert.equal((await simpleLog(store, lives).refresh())?.fence, fence);
  await beat.stop();
  await until('the end of what lost its owner', () => isOver(lives));
});

test('a greater priority is first, and of one priority each project has its turn from the oldest on', async (t) => {
  const prefix = prefixOf();
  const queue = new QueueIndex(store, prefix);
  const add = (project: string, id: string, priority: number, sinceMs: number) =>
    enqueue(store, queue, { project, id }, { priority, sinceMs });
  await add('b', 'late', 0, 9);
  await add('b', 'early', 0, 1);
  await add('a', 'normal', 0, 5);
  await add('a', 'urgent', 10, 20);
  await add('a', 'more-urgent', 11, 30);
  await add('b', 'whenever', -5, 0);
  const order: string[] = [];
  const worker = simpleWorker(store, prefix, {
    attempt: async ({ id }) => {
      order.push(id);
      return { kind: 'done' };
    },
  });
  worker.start();
  t.after(() => worker.stop());
  await until('all to be done', () => order.length === 6);
  await worker.stop();
  assert.deepEqual(order.slice(0, 2), ['more-urgent', 'urgent']);
  assert.equal(order.at(-1), 'whenever');
  assert.ok(order.indexOf('early') < order.indexOf('late'));
});

test('hints that are wrong are removed, and work that waits again meanwhile keeps its own', async (t) => {
  const prefix = prefixOf();
  const queue = new QueueIndex(store, prefix);
  const place = { priority: 0, sinceMs: 7 };
  const owned = await enqueue(store, queue, { project: 'wrong', id: 'owned' }, place);
  const fence = await own(owned);
  const touch = QueueTouch.start({ queue, entry: owned, fence, intervalMs: 50, onError: assert.ifError });
  const over = await enqueue(store, queue, { project: 'wrong', id: 'over' }, place);
  await own(over);
  await append(over, { kind: 'done', text: '' });
  const worker = simpleWorker(store, prefix, {});
  worker.start();
  t.after(() => worker.stop());
  await until('both hints to be gone', async () => (await queue.hints.list()).claims.length === 0);
  assert.deepEqual(
    (await queue.entries()).map(({ id }) => id),
    ['owned'],
  );
  await touch.stop();
  await worker.stop();
});

test('a hint for members is there as long as its owner wants some, also if somebody removed it, and goes with it', async () => {
  const queue = new QueueIndex(store, prefixOf());
  const place = { priority: 3, sinceMs: 7 };
  const entry = await enqueue(store, queue, { project: 'wanting', id: 'w' }, place);
  const hints = ClaimHints.start({ queue, entry, place, fence: 2, intervalMs: 20, onError: assert.ifError });
  const isThere = async (): Promise<boolean> => (await queue.hints.list()).joins.length === 1;
  await hints.wantMembers('join');
  assert.ok(await isThere());
  await queue.hints.remove('join', entry, place);
  await until('the hint to be there again', isThere);
  await hints.wantMembers('none');
  assert.equal(await isThere(), false);
  await hints.wantMembers('need');
  assert.equal((await queue.hints.list()).needs.length, 1);
  await hints.wantMembers('join');
  assert.equal((await queue.hints.list()).needs.length, 0);
  await hints.stop();
  assert.equal(await isThere(), false);
});

test('a hint for members that an owner has left behind is removed', async (t) => {
  const prefix = prefixOf();
  const queue = new QueueIndex(store, prefix);
  const place = { priority: 0, sinceMs: 7 };
  const over = await enqueue(store, queue, { project: 'left', id: 'over' }, place);
  await own(over);
  await append(over, { kind: 'done', text: '' });
  await queue.hints.add('join', over, place);
  const worker = simpleWorker(store, prefix, { join: async () => assert.fail('there is nothing to join') });
  worker.start();
  t.after(() => worker.stop());
  await until('the hint to be gone', async () => (await queue.hints.list()).joins.length === 0);
  await worker.stop();
});
