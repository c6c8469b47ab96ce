import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { type ObjectStore, StoreUnavailable } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { RecordLog } from '#storage/record-log.js';
import { backOffMs } from './back-off.js';
import { FoldedLog, type LogCodec, TooManyCollisions } from './folded-log.js';

let folder: string;
let store: ObjectStore;
let logs = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'folded-log-'));
  store = await openStore(folder);
});
after(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const codec: LogCodec<string> = { encode: (text) => ({ kind: 'text', payload: { text } }), decode: ({ text }) => String(text) };
const join2 = (view: string | undefined, event: string): string => `${view ?? ''}${event}`;
const open = (prefix: string, over: ObjectStore = store, extra: object = {}) =>
  new FoldedLog<string, string>({ log: new RecordLog(over, prefix), codec, apply: join2, ...extra });
const fresh = (): string => `log-${++logs}`;

test('any number of writers make one history, and each decides with all earlier records in view', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }), async (counts) => {
      const prefix = fresh();
      const writers = counts.map(() => open(prefix));
      await Promise.all(
        writers.flatMap((writer, w) => Array.from({ length: counts[w]! }, () => writer.append((view) => `${w}:${(view ?? '').length};`))),
      );
      const all = (await open(prefix).refresh())!;
      assert.equal(
        all.split(';').length - 1,
        counts.reduce((a, b) => a + b),
      );
      let seen = 0;
      for (const record of all.split(';').slice(0, -1)) {
        assert.equal(Number(record.split(':')[1]), seen);
        seen += record.length + 1;
      }
      for (const writer of writers) assert.equal(await writer.refresh(), all);
    }),
    { numRuns: 8 },
  );
});

test('a decision may change its mind after a collision', async () => {
  const prefix = fresh();
  const [first, second] = [open(prefix), open(prefix)];
  await first.append(() => 'claimed by 1;');
  const view = await second.append((seen) => (seen === undefined ? 'claimed by 2;' : undefined));
  assert.equal(view, 'claimed by 1;');
  await assert.rejects(
    second.append((seen) => {
      throw new Error(`lost: ${seen}`);
    }),
    /lost: claimed by 1/,
  );
  assert.equal(second.sequence, 1);
});

test('a snapshot replaces the records that it folds', async () => {
  const prefix = fresh();
  const decoded: string[] = [];
  const counting: LogCodec<string> = {
    ...codec,
    decode: (record) => {
      decoded.push(String(record.text));
      return codec.decode(record);
    },
  };
  const snapshots = { encode: (view: string) => view, decode: String, every: 2 };
  const writer = open(prefix, store, { snapshots });
  for (const letter of 'abcde') await writer.append(() => letter);
  const reader = open(prefix, store, { snapshots, codec: counting });
  assert.equal(await reader.refresh(), 'abcde');
  assert.deepEqual(decoded, ['e'], 'only what the snapshot at 4 does not hold');
  const broken = open(prefix, store, {
    snapshots: {
      ...snapshots,
      decode: () => {
        throw new Error('of another release');
      },
    },
  });
  assert.equal(await broken.refresh(), 'abcde');
});

test('a store that is away for a moment is asked again, and a create whose reply was lost happens once', async () => {
  const prefix = fresh();
  let failures = 2;
  const flaky = new Proxy(store, {
    get(target, key) {
      const member = Reflect.get(target, key) as unknown;
      if (key !== 'put' || typeof member !== 'function') return typeof member === 'function' ? member.bind(target) : member;
      return async (...args: unknown[]) => {
        // The first attempt is lost before it reaches the store, and the reply to the second one is lost.
        if (failures === 2) {
          failures--;
          throw new StoreUnavailable('down', true);
        }
        const answer = await (member as (...a: unknown[]) => Promise<unknown>).apply(target, args);
        if (failures === 1) {
          failures--;
          throw new StoreUnavailable('reply lost', true);
        }
        return answer;
      };
    },
  });
  const writer = open(prefix, flaky);
  await writer.append(() => 'x');
  await writer.append(() => 'y');
  assert.equal(await open(prefix).refresh(), 'xy');
});

test('an append that always collides fails in the end', async () => {
  const prefix = fresh();
  const [writer, other] = [open(prefix, store, { maxCollisions: 1 }), open(prefix)];
  await other.append(() => 'first');
  await assert.rejects(
    writer.append(() => 'x'),
    TooManyCollisions,
  );
});

test('waits double up to their limit', () => {
  const policy = { firstMs: 100, maxMs: 1000, maxAttempts: 5 };
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 60].map((n) => backOffMs(policy, n)),
    [0, 100, 200, 400, 800, 1000, 1000],
  );
});

test('a last view gets a snapshot at once, so that reading it later costs no record', async () => {
  const prefix = fresh();
  const snapshots = { encode: (view: string) => view, decode: String, every: 1000, isLast: (view: string) => view.endsWith('.') };
  const writer = open(prefix, store, { snapshots });
  for (const text of ['a', 'b', 'c']) await writer.append(() => text);
  assert.equal(await new RecordLog(store, prefix).readSnapshot(), undefined);
  await writer.append(() => '.');
  const { seq, state } = (await new RecordLog(store, prefix).readSnapshot())!;
  assert.deepEqual([seq, state], [4, 'abc.']);
  let read = 0;
  const counting = { ...codec, decode: (record: Parameters<typeof codec.decode>[0]) => `${++read}${codec.decode(record)}` };
  assert.equal(await open(prefix, store, { snapshots, codec: counting }).refresh(), 'abc.');
  assert.equal(read, 0);
});
