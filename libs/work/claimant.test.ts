import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { RecordLog } from '#storage/record-log.js';
import { silentLogger } from '#telemetry/logger.js';
import { until } from '../../test/support/until.js';
import { Claimant, type ClaimantOptions } from './claimant.js';
import { ClaimedLog, ClaimLost, type Standing, WorkEnded } from './claimed-log.js';
import type { ProjectShares } from './fair-share.js';
import { FoldedLog, type LogCodec } from './folded-log.js';
import { Incarnations, incarnationFolder } from './incarnations.js';
import { type QueueEntry, QueueIndex } from './queue-index.js';

/** The simplest kind of work: created, claimed, done. */
type Event = { kind: 'created' } | { kind: 'claimed'; owner: string } | { kind: 'note'; text: string } | { kind: 'done' };
interface View extends Standing {
  readonly owner: string;
  readonly notes: string;
}
const codec: LogCodec<Event> = { encode: ({ kind, ...payload }) => ({ kind, payload }), decode: (record) => record as unknown as Event };
function apply(view: View | undefined, event: Event, sequence: number): View {
  if (view === undefined) return { state: 'waiting', fence: 0, fruitlessAttempts: 0, owner: '', notes: '' };
  if (event.kind === 'claimed')
    return { ...view, state: 'owned', fence: sequence, owner: event.owner, fruitlessAttempts: view.fruitlessAttempts + 1 };
  if (event.kind === 'note') return { ...view, notes: `${view.notes}${event.text}` };
  return event.kind === 'done' ? { ...view, state: 'over' } : view;
}

let folder: string;
let store: ObjectStore;
let queues = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claimant-'));
  store = await openStore(folder);
});
after(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const nameOf = ({ project, id }: Omit<QueueEntry, 'uid'>): string => `projects/${project}/work/${id}`;
const prefixOf = (entry: QueueEntry): string => incarnationFolder(nameOf(entry), entry.uid);
const logOf = (entry: QueueEntry) => new FoldedLog<Event, View>({ log: new RecordLog(store, `${prefixOf(entry)}/log`), codec, apply });

let queued = 0;
async function enqueue(queue: QueueIndex, work: Omit<QueueEntry, 'uid'>): Promise<QueueEntry> {
  const { uid } = await new Incarnations(store).mint('work', nameOf(work), () => ({}));
  const entry = { ...work, uid };
  await queue.add(entry);
  await logOf(entry).append((view) => (view === undefined ? { kind: 'created' } : undefined));
  await queue.hints.add('claim', entry, { priority: 0, sinceMs: ++queued });
  return entry;
}

function claimant(
  queue: QueueIndex,
  name: string,
  work: (claimed: ClaimedLog<Event, View>, stopping: AbortSignal, entry: QueueEntry) => Promise<void>,
  ttlMs = 300,
  more: Partial<Pick<ClaimantOptions, 'slots' | 'shares' | 'idleMs' | 'onIdle' | 'backOff'>> = {},
): Claimant {
  const heartbeatPrefix = (entry: QueueEntry): string => `${prefixOf(entry)}/heartbeats`;
  return new Claimant({
    queue,
    store,
    ttlMs,
    pollMs: 10,
    slots: 2,
    backOff: { firstMs: 10, maxAttempts: 3 },
    ...more,
    logger: silentLogger(),
    heartbeatPrefix,
    standing: async (entry, signal) => {
      const log = logOf(entry);
      const view = await log.refresh(signal);
      return view && { ...view, sequence: log.sequence };
    },
    work: async (entry, seenFence, stopping) => {
      const log = logOf(entry);
      await log.refresh();
      const owner = `${name}-${seenFence}`;
      const view = await log.append((now) =>
        now && now.state !== 'over' && now.fence === seenFence ? { kind: 'claimed', owner } : undefined,
      );
      if (view?.owner !== owner) return false;
      const claimed = await ClaimedLog.start({
        work: nameOf(entry),
        uid: entry.uid,
        incarnations: new Incarnations(store),
        log,
        fence: view.fence,
        standing: (seen) => seen,
        store,
        heartbeatPrefix: heartbeatPrefix(entry),
        owner,
        ttlMs,
        pollMs: 10,
        onHeartbeatLost: () => {},
      });
      try {
        await work(claimed, stopping, entry);
      } finally {
        await claimed.stop();
      }
      return true;
    },
  });
}

test('several claimants do every piece of work once, and take it off the queue', async () => {
  const queue = new QueueIndex(store, `queue/${++queues}`);
  const entries: QueueEntry[] = [];
  for (let k = 0; k < 9; k++) entries.push(await enqueue(queue, { project: 'once', id: `w${k}` }));
  const work = async (claimed: ClaimedLog<Event, View>) => {
    await claimed.append(() => ({ kind: 'note', text: 'x' }));
    await claimed.append(() => ({ kind: 'done' }));
  };
  const claimants = ['a', 'b', 'c'].map((name) => claimant(queue, name, work, 5000));
  for (const c of claimants) c.start();
  await until('an empty queue', async () => (await queue.entries()).length === 0);
  await Promise.all(claimants.map((c) => c.stop()));
  for (const entry of entries) assert.equal((await logOf(entry).refresh())?.notes, 'x');
});

test('an owner without a heartbeat is replaced after a TTL, and its late append is refused', async () => {
  const queue = new QueueIndex(store, `queue/${++queues}`);
  const entry = await enqueue(queue, { project: 'stale', id: 'w' });
  // An owner that claimed and never wrote a heartbeat.
  const late = logOf(entry);
  await late.refresh();
  const fence = (await late.append(() => ({ kind: 'claimed', owner: 'gone' })))!.fence;
  const stale = new Claimed(late, fence);
  const begun = performance.now();
  const successor = claimant(queue, 'next', async (claimed) => {
    await claimed.append(() => ({ kind: 'note', text: 'mine' }));
    await assert.rejects(stale.append(), ClaimLost);
    await claimed.append(() => ({ kind: 'done' }));
  });
  successor.start();
  await until('the end', async () => (await logOf(entry).refresh())?.state === 'over');
  await successor.stop();
  assert.ok(performance.now() - begun >= 300, 'not before a whole TTL');
  assert.equal((await logOf(entry).refresh())?.notes, 'mine');
  await assert.rejects(stale.append(), ClaimLost);
});

test('an owner with heartbeats keeps its work, and learns when somebody ends it', async () => {
  const queue = new QueueIndex(store, `queue/${++queues}`);
  const entry = await enqueue(queue, { project: 'alive', id: 'w' });
  const reasons: unknown[] = [];
  const owner = claimant(queue, 'owner', async ({ signal }) => {
    await new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }));
    reasons.push(signal.reason);
  });
  const other = claimant(queue, 'other', async () => assert.fail('it was taken over'));
  owner.start();
  await until('a claim', async () => (await logOf(entry).refresh())?.state === 'owned');
  other.start();
  await new Promise((done) => setTimeout(done, 900));
  const outsider = logOf(entry);
  await outsider.refresh();
  await outsider.append(() => ({ kind: 'done' }));
  await until('a reason', () => reasons.length === 1);
  assert.ok(reasons[0] instanceof WorkEnded);
  await Promise.all([owner.stop(), other.stop()]);
});

/** What ClaimedLog's append does; for tests that do not need a heartbeat. */
class Claimed {
  constructor(
    private readonly log: FoldedLog<Event, View>,
    private readonly fence: number,
  ) {}
  async append(): Promise<void> {
    await this.log.append((view) => {
      if (view!.fence !== this.fence) throw new ClaimLost('w', this.fence, view!.fence);
      return { kind: 'note', text: 'late' };
    });
  }
}

test('work that is queued anew while its entry is taken off is not lost', { timeout: 20_000 }, async () => {
  const entry = { project: 'p', id: 'again', uid: '0'.repeat(32) };
  let queuedAnew = false;
  // The paused work is resumed, and its entry added for the last time, just before the claimant's removal arrives.
  class LateQueue extends QueueIndex {
    override async remove(...args: Parameters<QueueIndex['remove']>): Promise<void> {
      queuedAnew = true;
      await this.add(entry);
      await super.remove(...args);
    }
  }
  const queue = new LateQueue(store, `queue/t${queues++}`);
  await queue.add(entry);
  let finish = () => {};
  const worked = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const worker = new Claimant({
    queue,
    store,
    ttlMs: 300,
    pollMs: 10,
    slots: 1,
    backOff: { firstMs: 10, maxAttempts: 3 },
    logger: silentLogger(),
    heartbeatPrefix: prefixOf,
    standing: async () => ({ state: queuedAnew ? 'waiting' : 'over', fence: 0, fruitlessAttempts: 0, sequence: 1 }),
    work: async () => {
      finish();
      return true;
    },
  });
  worker.start();
  await worked;
  await worker.stop();
});

test('two workers give projects their shares, whatever the lengths of their queues', async () => {
  const queue = new QueueIndex(store, `queue/${++queues}`);
  for (let k = 0; k < 24; k++) await enqueue(queue, { project: 'long', id: `l${k}` });
  for (let k = 0; k < 6; k++) await enqueue(queue, { project: 'short', id: `s${k}` });
  const shares: ProjectShares = { weightOf: (project) => (project === 'long' ? 2 : 1), of: () => ({}) };
  const order: string[] = [];
  const work = async (claimed: ClaimedLog<Event, View>, _: AbortSignal, { project }: QueueEntry) => {
    order.push(project);
    await claimed.append(() => ({ kind: 'done' }));
  };
  const claimants = ['a', 'b'].map((name) => claimant(queue, name, work, 5000, { slots: 1, shares }));
  for (const c of claimants) c.start();
  await until('the end of the short queue', async () => order.filter((project) => project === 'short').length === 6);
  await Promise.all(claimants.map((c) => c.stop()));
  // 2 : 1, and each worker may be one claim of each project off.
  const until6 = order.lastIndexOf('short') + 1;
  assert.ok(until6 >= 12 && until6 <= 24, order.join());
});

test('a project has no more owners at a time than it may, and the others go on', async () => {
  const queue = new QueueIndex(store, `queue/${++queues}`);
  for (let k = 0; k < 5; k++) await enqueue(queue, { project: 'bound', id: `b${k}` });
  for (let k = 0; k < 5; k++) await enqueue(queue, { project: 'free', id: `f${k}` });
  const shares: ProjectShares = { weightOf: () => 1, of: (project) => ({ workers: project === 'bound' ? 1 : undefined }) };
  let [now, most, freeAtOnce, freeNow] = [0, 0, 0, 0];
  const work = async (claimed: ClaimedLog<Event, View>, _: AbortSignal, { project }: QueueEntry) => {
    const isBound = project === 'bound';
    if (isBound) most = Math.max(most, ++now);
    else freeAtOnce = Math.max(freeAtOnce, ++freeNow);
    await new Promise((resolve) => setTimeout(resolve, 60));
    if (isBound) now--;
    else freeNow--;
    await claimed.append(() => ({ kind: 'done' }));
  };
  const one = claimant(queue, 'a', work, 5000, { slots: 4, shares });
  one.start();
  await until('an empty queue', async () => (await queue.entries()).length === 0);
  await one.stop();
  assert.equal(most, 1);
  assert.ok(freeAtOnce > 1, 'others are not bound');
});

/** A claimant with the order in which it did things: `begin` and `end` of each piece of work, and `idle`. */
function idling(queue: QueueIndex, idleMs: number, workMs: number, ttlMs = 5000, more: Parameters<typeof claimant>[4] = {}) {
  const order: string[] = [];
  const work = async (claimed: ClaimedLog<Event, View>, stopping: AbortSignal) => {
    order.push('begin');
    await delay(workMs, undefined, { signal: stopping });
    await claimed.append(() => ({ kind: 'done' }));
    order.push('end');
  };
  return { order, one: claimant(queue, 'a', work, ttlMs, { slots: 1, idleMs, onIdle: () => void order.push('idle'), ...more }) };
}

test('a claimant without work is idle once, after its work and never during it, and then takes nothing more', async () => {
  const queue = new QueueIndex(store, `queue/${++queues}`);
  for (let k = 0; k < 3; k++) await enqueue(queue, { project: 'idle', id: `w${k}` });
  // A piece of work takes longer than it may be idle.
  const { order, one } = idling(queue, 60, 150);
  one.start();
  await until('the claimant is idle', () => order.includes('idle'));
  assert.deepEqual(order, ['begin', 'end', 'begin', 'end', 'begin', 'end', 'idle']);
  await enqueue(queue, { project: 'idle', id: 'late' });
  await new Promise((resolve) => setTimeout(resolve, 200));
  await one.stop();
  assert.equal(order.at(-1), 'idle');
  assert.equal((await queue.entries()).length, 1);
});

test('a claimant waits for work that it may have in a while: of an owner that shows no life, and in a back-off', async () => {
  for (const kind of ['stale', 'resting'] as const) {
    const queue = new QueueIndex(store, `queue/${++queues}`);
    const entry = await enqueue(queue, { project: 'prospects', id: kind });
    if (kind === 'stale') await logOf(entry).append(() => ({ kind: 'claimed', owner: 'gone' }));
    // Both take longer than it may be idle, and the next process would begin to wait anew.
    const backOff = { firstMs: kind === 'resting' ? 400 : 0, maxAttempts: 3 };
    const { order, one } = idling(queue, 30, 0, 400, { backOff });
    if (kind === 'resting') await logOf(entry).append(() => ({ kind: 'note', text: 'x' }));
    one.start();
    await until(`${kind} work was taken, and then there was none`, () => order.includes('idle'));
    await one.stop();
    assert.deepEqual(order, ['begin', 'end', 'idle'], kind);
  }
});

test('work whose owner is alive keeps nobody from being idle', async (t) => {
  const queue = new QueueIndex(store, `queue/${++queues}`);
  await enqueue(queue, { project: 'living', id: 'w' });
  const owner = idling(queue, 60_000, 60_000, 3000);
  owner.one.start();
  t.after(() => owner.one.stop());
  await until('the owner has begun', () => owner.order.includes('begin'));
  const other = idling(queue, 100, 0, 3000);
  other.one.start();
  t.after(() => other.one.stop());
  await until('the other one is idle', () => other.order.includes('idle'));
  assert.deepEqual([owner.order, other.order], [['begin'], ['idle']]);
});

test('a queue that cannot be read tells nothing, so nobody becomes idle by it', async () => {
  const queue = new QueueIndex(store, `queue/${++queues}`);
  let looks = 0;
  const failing = Object.assign(Object.create(queue) as QueueIndex, {
    hints: {
      list: async () => {
        looks++;
        throw new Error('the store is away');
      },
    },
  });
  const { order, one } = idling(failing, 30, 0);
  one.start();
  await until('it has looked often', () => looks > 20);
  assert.deepEqual(order, []);
  await one.stop();
});

test('a look reads a limited number of what seems to wait for members, and the next one goes on with the others', async (t) => {
  const queue = new QueueIndex(store, `queue/${++queues}`);
  const needs = Array.from({ length: 80 }, (_, k) => {
    const id = `n${String(k).padStart(2, '0')}`;
    return { project: 'p', id, uid: '0'.repeat(32), priority: 0, sinceMs: k, key: id };
  });
  let looks = 0;
  const asked: string[][] = [];
  const joined: string[] = [];
  const worker = new Claimant({
    queue: Object.assign(Object.create(queue) as QueueIndex, {
      hints: {
        list: async () => {
          asked[looks++] = [];
          return { claims: [], joins: [], needs, mark: '' };
        },
        leaveMark: async () => {},
      },
    }),
    store,
    ttlMs: 60_000,
    pollMs: 10,
    slots: 1,
    backOff: { firstMs: 10, maxAttempts: 3 },
    logger: silentLogger(),
    heartbeatPrefix: prefixOf,
    standing: async () => assert.fail('it is not claimed'),
    work: async () => assert.fail('it is not claimed'),
    mightHelp: ({ id }) => id !== 'n00',
    // The owners of all others have enough by now.
    wishOf: async ({ id }) => {
      asked.at(-1)!.push(id);
      return id === 'n79' ? 'need' : 'join';
    },
    join: async ({ id }) => {
      joined.push(id);
      return true;
    },
  });
  worker.start();
  t.after(() => worker.stop());
  await until('a membership', () => joined.length > 0);
  assert.equal(joined[0], 'n79');
  const names = needs.map(({ id }) => id);
  assert.deepEqual(asked.slice(0, 3), [names.slice(1, 33), names.slice(33, 65), names.slice(65)]);
});
