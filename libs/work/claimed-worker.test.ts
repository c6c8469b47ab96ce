import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ObjectStore, StoreUnavailable } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { RecordLog } from '#storage/record-log.js';
import { silentLogger } from '#telemetry/logger.js';
import { until } from '../../test/support/until.js';
import { describeFailure } from './attempt-end.js';
import type { Standing } from './claimed-log.js';
import { ClaimedWorker, type ClaimedWorkerOptions } from './claimed-worker.js';
import { FoldedLog, type LogCodec } from './folded-log.js';
import { Incarnations, incarnationFolder } from './incarnations.js';
import { type QueueEntry, QueueIndex } from './queue-index.js';

/** Work that is created, claimed, and then done, failed or returned to the queue. */
type Event = { kind: 'created' } | { kind: 'claimed'; worker: string } | { kind: 'done' | 'failed' | 'queued'; text: string };
interface View extends Standing {
  readonly owner: string;
  /** Kinds and texts of the ends, in order. */
  readonly ends: readonly string[];
}
type Outcome = { readonly kind: 'done'; readonly text: string };
type Options = ClaimedWorkerOptions<Event, View, Outcome>;

const codec: LogCodec<Event> = { encode: ({ kind, ...payload }) => ({ kind, payload }), decode: (record) => record as unknown as Event };
function apply(view: View | undefined, event: Event, sequence: number): View {
  if (view === undefined || event.kind === 'created') return { state: 'waiting', fence: 0, fruitlessAttempts: 0, owner: '', ends: [] };
  if (event.kind === 'claimed')
    return { ...view, state: 'owned', fence: sequence, owner: event.worker, fruitlessAttempts: view.fruitlessAttempts + 1 };
  return { ...view, state: event.kind === 'queued' ? 'waiting' : 'over', ends: [...view.ends, `${event.kind}: ${event.text}`] };
}

let folder: string;
let store: ObjectStore;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claimed-worker-'));
  store = await openStore(folder);
});
after(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const nameOf = ({ project, id }: Omit<QueueEntry, 'uid'>): string => `projects/${project}/work/${id}`;
const prefixOf = (entry: QueueEntry): string => incarnationFolder(nameOf(entry), entry.uid);
const logOf = (entry: QueueEntry) => new FoldedLog<Event, View>({ log: new RecordLog(store, `${prefixOf(entry)}/log`), codec, apply });

async function enqueue(project: string, count: number): Promise<{ queue: QueueIndex; entries: QueueEntry[] }> {
  const queue = new QueueIndex(store, `queue/${project}`);
  const entries: QueueEntry[] = [];
  for (let k = 0; k < count; k++) {
    const work = { project, id: `w${k}` };
    const entry = { ...work, uid: (await new Incarnations(store).mint('work', nameOf(work), () => ({}))).uid };
    entries.push(entry);
    await queue.add(entry);
    await logOf(entry).append((view) => (view === undefined ? { kind: 'created' } : undefined));
    await queue.hints.add('claim', entry, { priority: 0, sinceMs: 0 });
  }
  return { queue, entries };
}

/** A worker that finishes its work at once, unless `part` says otherwise; it is stopped with the test. */
function startWorker(t: { after(end: () => Promise<void>): void }, queue: QueueIndex, part: Partial<Options>): void {
  const worker = new ClaimedWorker<Event, View, Outcome>({
    kind: 'work',
    progress: 'anything done',
    queue,
    store,
    config: { workers: 1, pollMs: 10, leaseTtlMs: 2000, maxAttempts: 3, backoffMs: 1 },
    logger: silentLogger(),
    openLog: logOf,
    name: nameOf,
    heartbeatPrefix: (entry) => `${prefixOf(entry)}/heartbeats`,
    standing: (view) => view,
    place: () => ({ priority: 0, sinceMs: 0 }),
    claim: (_, worker) => ({ kind: 'claimed', worker }),
    attempt: async () => ({ kind: 'done', text: '' }),
    ended: ({ text }) => ({ kind: 'done', text }),
    failed: (text, forGood) => ({ kind: forGood ? 'failed' : 'queued', text }),
    isDeterministic: (error) => error instanceof RangeError,
    onOutcome: () => {},
    onDepth: () => {},
    onActive: () => {},
    ...part,
  });
  worker.start();
  t.after(() => worker.stop());
}

async function endsOf(entry: QueueEntry): Promise<readonly string[]> {
  const log = logOf(entry);
  return await until(`the end of ${nameOf(entry)}`, async () => {
    const view = await log.refresh();
    return view?.state === 'over' && view.ends;
  });
}

test('work that a worker may not claim is left to one that may', async (t) => {
  const { queue, entries } = await enqueue('left', 4);
  const asked = new Set<string>();
  startWorker(t, queue, {
    attempt: async ({ id }) => ({ kind: 'done', text: `first did ${id}` }),
    mayClaim: async ({ id }) => {
      asked.add(id);
      return id === 'w1' || id === 'w3';
    },
  });
  for (const entry of [entries[1]!, entries[3]!]) assert.deepEqual(await endsOf(entry), [`done: first did ${entry.id}`]);
  // What may be claimed can be over before the other work was asked about.
  await until('all to be asked about', () => asked.size === 4);
  assert.deepEqual([...asked].sort(), ['w0', 'w1', 'w2', 'w3']);
  startWorker(t, queue, { attempt: async ({ id }) => ({ kind: 'done', text: `second did ${id}` }) });
  for (const entry of [entries[0]!, entries[2]!]) assert.deepEqual(await endsOf(entry), [`done: second did ${entry.id}`]);
});

test('a mayClaim that never resolves or fails does not delay other work', async (t) => {
  const { queue, entries } = await enqueue('held', 3);
  startWorker(t, queue, {
    mayClaimMs: 20,
    mayClaim: async ({ id }) => {
      if (id === 'w0') throw new Error('the store is away');
      return id === 'w1' ? await new Promise<boolean>(() => {}) : true;
    },
  });
  assert.deepEqual(await endsOf(entries[2]!), ['done: ']);
  for (const entry of entries.slice(0, 2)) assert.equal((await logOf(entry).refresh())?.fence, 0, `${entry.id} is unclaimed`);
});

test('a failure is retried as often as allowed; a deterministic one fails the work at once', async (t) => {
  const { queue, entries } = await enqueue('failing', 2);
  const outcomes: string[] = [];
  startWorker(t, queue, {
    attempt: async ({ id }) => {
      throw id === 'w0' ? new Error('no luck') : new RangeError('no way');
    },
    onOutcome: (outcome) => outcomes.push(outcome),
  });
  assert.deepEqual(await endsOf(entries[0]!), ['queued: Error: no luck', 'queued: Error: no luck', 'failed: Error: no luck']);
  assert.deepEqual(await endsOf(entries[1]!), ['failed: RangeError: no way']);
  // The outcome is told after the end is in the log.
  await until('all outcomes', () => outcomes.length === 4);
  assert.deepEqual(outcomes.sort(), ['failed', 'failed', 'retried', 'retried']);
});

test('work of a process that is known to have ended is taken over at once, and the claim says so; that of others waits for the lease', async (t) => {
  const { queue, entries } = await enqueue('succeeded', 2);
  for (const [k, owner] of ['trainer-1:a1', 'trainer-12:b2'].entries()) {
    const log = logOf(entries[k]!);
    await log.refresh();
    await log.append(() => ({ kind: 'claimed', worker: owner }));
  }
  const succeeded: string[] = [];
  startWorker(t, queue, {
    config: {
      workers: 2,
      pollMs: 10,
      leaseTtlMs: 600_000,
      maxAttempts: 3,
      backoffMs: 600_000,
      instance: 'trainer-2',
      succeeds: ['trainer-1'],
    },
    claim: (_, worker, former) => {
      succeeded.push(`${worker.split(':')[0]} after ${former}`);
      return { kind: 'claimed', worker };
    },
  });
  assert.deepEqual(await endsOf(entries[0]!), ['done: ']);
  assert.deepEqual(succeeded, ['trainer-2 after trainer-1:a1']);
  assert.equal((await logOf(entries[1]!).refresh())?.owner, 'trainer-12:b2', 'nothing is known of that owner');
});

test('work whose owners vanished too often fails without a further attempt', async (t) => {
  const { queue, entries } = await enqueue('vanished', 1);
  const log = logOf(entries[0]!);
  await log.refresh();
  for (let k = 0; k < 3; k++) await log.append(() => ({ kind: 'claimed', worker: `gone-${k}` }));
  let attempts = 0;
  startWorker(t, queue, {
    config: { workers: 1, pollMs: 10, leaseTtlMs: 50, maxAttempts: 3, backoffMs: 1 },
    attempt: async () => {
      attempts++;
      return { kind: 'done', text: '' };
    },
  });
  const [end] = await endsOf(entries[0]!);
  assert.match(end!, /^failed: TooManyAttempts: 3 attempts in a row ended without anything done/);
  assert.equal(attempts, 0);
});

test('what a deleted attempt wrote is removed, and so is a write that the store finishes only after the attempt has ended', async (t) => {
  const { queue, entries } = await enqueue('deleted', 1);
  const [entry] = entries as [QueueEntry];
  const written = async (): Promise<number> => (await store.list(`${prefixOf(entry)}/`)).objects.length;
  startWorker(t, queue, {
    attempt: async () => {
      await new Incarnations(store).bury(nameOf(entry), entry.uid, {});
      return { kind: 'done', text: '' };
    },
  });
  await until('the first sweep', async () => (await written()) === 0, { looks: 1500 });
  await store.put(`${prefixOf(entry)}/checkpoints/late`, Buffer.from('late'));
  await until('the second sweep', async () => (await written()) === 0, { looks: 1500 });
});

test('a reason is at most 2000 characters', () => {
  assert.equal(describeFailure(new TypeError('x')), 'TypeError: x');
  assert.equal(describeFailure('y'), 'y');
  assert.equal(describeFailure(new Error('z'.repeat(3000))).length, 2000);
});

describe('work that is deleted while it is being claimed leaves nothing behind, though', () => {
  for (const [what, part, isWritten] of [
    ['no heartbeat can be written', '/heartbeats/', false],
    ['the reply to the claim is lost', '/log/', true],
    ['the claim cannot be written', '/log/', false],
  ] as const)
    test(what, async (t) => {
      const { queue, entries } = await enqueue(`deleted${part.slice(1, 4)}${isWritten}`, 1);
      const entry = entries[0]!;
      const put: ObjectStore['put'] = async (key, ...rest) => {
        if (!key.includes(part)) return await store.put(key, ...rest);
        if (isWritten) await store.put(key, ...rest);
        await new Incarnations(store).bury(nameOf(entry), entry.uid);
        throw new StoreUnavailable('cut off', false);
      };
      const cut = new Proxy(store, { get: (target, key) => (key === 'put' ? put : Reflect.get(target, key)) as unknown });
      startWorker(t, queue, {
        store: cut,
        openLog: (of) => new FoldedLog<Event, View>({ log: new RecordLog(cut, `${prefixOf(of)}/log`), codec, apply }),
      });
      await until('the sweep', async () => (await store.list(`${prefixOf(entry)}/`, { limit: 1 })).objects.length === 0);
    });
});

test('what arrives after work was ended and then deleted goes too', async (t) => {
  const { queue, entries } = await enqueue('arrives', 1);
  const entry = entries[0]!;
  const key = `${prefixOf(entry)}/heartbeats/000000000002`;
  let ended = 0;
  startWorker(t, queue, {
    lateWriteMs: 2000,
    attempt: async ({ claimed }) => {
      await logOf(entry).append(() => ({ kind: 'done', text: 'cancelled' }));
      await until('the end to be noticed', () => claimed.signal.aborted);
      throw claimed.signal.reason;
    },
    onActive: (active) => {
      if (active === 0) ended++;
    },
  });
  await until('the end of the attempt', () => ended > 0);
  const names = new Incarnations(store);
  await names.bury(nameOf(entry), entry.uid);
  await names.sweep(nameOf(entry));
  await store.put(key, Buffer.from('late'));
  await until('the sweep', async () => (await store.list(`${prefixOf(entry)}/`, { limit: 1 })).objects.length === 0);
});
