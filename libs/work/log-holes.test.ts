/** A record that is missing is damage at every look, however the log is looked at, and nothing is written into its place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogDamaged } from '#storage/log-record.js';
import type { ObjectStore } from '#storage/object-store.js';
import { RecordLog } from '#storage/record-log.js';
import { sealJson } from '#storage/sealed-json.js';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { FoldedLog, type LogCodec } from './folded-log.js';

const prefix = 'projects/p/runs/r/0/log';
const key = (seq: number): string => `${prefix}/${String(seq).padStart(12, '0')}`;
const codec: LogCodec<string> = { encode: (text) => ({ kind: 'text', payload: { text } }), decode: ({ text }) => String(text) };
const snapshots = { encode: (view: string) => view, decode: String, every: 4 };
const open = (store: ObjectStore, extra: object = {}) =>
  new FoldedLog<string, string>({
    log: new RecordLog(store, prefix),
    codec,
    apply: (view = '', text) => view + text,
    storePatienceMs: 0,
    ...extra,
  });
const damagedAt = (seq: number) => (error: unknown) => error instanceof LogDamaged && error.key === key(seq);

async function logOf(length: number, extra: object = {}): Promise<ObjectStore> {
  const { store } = await freshDirectoryStore();
  const log = open(store, extra);
  for (let k = 0; k < length; k++) await log.append(() => String(k));
  return store;
}

test('in a log that is read for the first time: at the first, second and third look', async () => {
  for (const hole of [[1], [3], [5], [3, 4], [1, 2, 3, 4, 5]]) {
    const store = await logOf(6);
    for (const seq of hole) await store.delete(key(seq));
    const log = open(store);
    for (let look = 1; look <= 3; look++) {
      await assert.rejects(log.refresh(), damagedAt(hole[0]!), `hole ${hole}, look ${look}`);
      // A claim looks first; one that would not look meets an error or the record of another writer.
      await assert.rejects(async () => {
        await log.refresh();
        await log.append(() => 'claim');
      }, damagedAt(hole[0]!));
    }
    for (const seq of hole) await assert.rejects(store.head(key(seq)), 'nothing was written into the hole');
  }
});

test('in a log that was read before: of newer records, and of the newest one that was read', async () => {
  for (const hole of [[4], [4, 5], [3], [5]]) {
    const store = await logOf(3);
    const reader = open(store);
    assert.equal(await reader.refresh(), '012');
    const writer = open(store);
    await writer.refresh();
    for (let k = 3; k < 6; k++) await writer.append(() => String(k));
    for (const seq of hole) await store.delete(key(seq));
    for (let look = 1; look <= 3; look++) await assert.rejects(reader.refresh(), damagedAt(hole[0]!), `hole ${hole}, look ${look}`);
  }
});

test('the newest record, of a reader that has read it', async () => {
  const store = await logOf(3);
  const reader = open(store);
  await reader.refresh();
  await store.delete(key(3));
  for (let look = 1; look <= 3; look++) await assert.rejects(reader.refresh(), damagedAt(3));
});

test('behind a snapshot: the snapshot does not stand for records after it, and not without its own', async () => {
  const store = await logOf(7, { snapshots });
  await store.delete(key(6));
  const log = open(store, { snapshots });
  for (let look = 1; look <= 3; look++) await assert.rejects(log.refresh(), damagedAt(6));
  for (const seq of [4, 5, 7]) await store.delete(key(seq));
  for (let look = 1; look <= 3; look++) await assert.rejects(open(store, { snapshots }).refresh(), damagedAt(4));
});

test('for watchers and for single records', async () => {
  const store = await logOf(6);
  await store.delete(key(4));
  const log = new RecordLog(store, prefix);
  for (let look = 1; look <= 3; look++) {
    await assert.rejects(log.recordAfter(3), damagedAt(4));
    await assert.rejects(async () => {
      for await (const _ of log.watch({ after: 2, pollMs: 1, signal: AbortSignal.timeout(20_000) }));
    }, damagedAt(4));
  }
  assert.equal(await log.recordAfter(6), undefined);
  await assert.rejects(log.recordAfter(4), damagedAt(4), 'the record behind a hole follows nothing');
  assert.equal((await log.recordAfter(5))?.text, '5');
});

test('before a snapshot: at every look, and for claims that would not look', async () => {
  for (const hole of [[1], [3], [4], [7], [8], [2, 3, 6]]) {
    const store = await logOf(10, { snapshots });
    for (const seq of hole) await store.delete(key(seq));
    const log = open(store, { snapshots });
    for (let look = 1; look <= 3; look++) {
      await assert.rejects(log.refresh(), damagedAt(hole[0]!), `hole ${hole}, look ${look}`);
      await assert.rejects(
        log.append(() => 'claim'),
        damagedAt(hole[0]!),
      );
    }
    await assert.rejects(store.head(key(11)), 'nothing was appended');
    for (const seq of hole) await assert.rejects(store.head(key(seq)), 'nothing was written into the hole');
  }
});

test('a long log is listed in pages; a hole in any of them is found, and later looks do not list it again', async () => {
  const { store } = await freshDirectoryStore();
  const writer = open(store);
  for (let k = 0; k < 6; k++) await writer.append(() => String(k));
  // Only the keys of the records before the snapshot matter.
  const { bytes } = await store.get(key(1));
  for (let seq = 7; seq <= 2300; seq++) await store.put(key(seq), bytes);
  const snapshot = { seq: 2300, last: 'a'.repeat(64), state: 'all' };
  await store.put(`${prefix}-snapshots/000000002300`, sealJson(snapshot, 'sha256').bytes);
  let lists = 0;
  // The pages are those of S3; a directory store lists all of it at once.
  const counted: ObjectStore = Object.create(store, {
    maxListed: { value: undefined },
    list: {
      value: (...args: Parameters<ObjectStore['list']>) => {
        lists++;
        return store.list(...args);
      },
    },
  });
  const reader = open(counted, { snapshots });
  assert.equal(await reader.refresh(), 'all');
  const first = lists;
  lists = 0;
  assert.equal(await reader.refresh(), 'all');
  assert.ok(first >= 4 && lists === 1, `${first} listings, then ${lists}`);
  for (const seq of [1000, 1001, 2300]) {
    await store.delete(key(seq));
    for (const one of [store, counted]) await assert.rejects(open(one, { snapshots }).refresh(), damagedAt(seq));
    await store.put(key(seq), bytes);
  }
});

test('a writer that was frozen before a lost record fills its place, and every reader from there on notices', async () => {
  for (const lost of [1, 3, 5]) {
    const { store } = await freshDirectoryStore();
    const writer = open(store);
    const frozen = open(store);
    for (let k = 1; k <= 6; k++) {
      await writer.append(() => String(k));
      if (k < lost) await frozen.refresh();
    }
    await store.delete(key(lost));
    await frozen.append(() => 'late').catch(() => undefined);
    assert.match((await store.get(key(lost))).bytes.toString(), /"late"/);
    const names = (error: unknown) =>
      error instanceof LogDamaged &&
      error.key === key(lost + 1) &&
      error.message.includes(key(lost)) &&
      error.message.includes(key(lost + 1));
    for (let look = 1; look <= 3; look++) {
      await assert.rejects(frozen.refresh(), names, `the late writer, record ${lost}`);
      await assert.rejects(open(store).refresh(), names, `a new reader, record ${lost}`);
      await assert.rejects(new RecordLog(store, prefix).recordAfter(lost), names, `a watcher that begins at record ${lost}`);
    }
    await assert.rejects(
      open(store).append(() => 'claim'),
      (error: unknown) => error instanceof LogDamaged,
    );
  }
});

test('the newest record, lost and written again by a frozen writer: whoever had read it notices when it goes on', async () => {
  const { store } = await freshDirectoryStore();
  const writer = open(store);
  const frozen = open(store);
  const reader = open(store, { snapshots });
  for (let k = 1; k <= 4; k++) await writer.append(() => String(k));
  await frozen.refresh();
  await writer.append(() => '5');
  await reader.refresh();
  await store.delete(key(5));
  await frozen.append(() => 'late');
  await frozen.append(() => 'later');
  for (const log of [writer, reader]) for (let look = 1; look <= 3; look++) await assert.rejects(log.refresh(), damagedAt(6));
});

test('a record that was appended to a damaged log reaches those who had read the damaged one', async () => {
  const store = await logOf(3);
  const reader = open(store);
  await reader.refresh();
  await store.put(key(3), Buffer.from('{'));
  await new RecordLog(store, prefix).appendToDamaged('text', { text: ' ended' });
  assert.equal(await reader.refresh(), '012 ended');
  assert.equal((await new RecordLog(store, prefix).recordAfter(3))?.text, ' ended');
  await assert.rejects(open(store).refresh(), damagedAt(3));
});
