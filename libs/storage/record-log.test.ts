import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { LogConflict, LogDamaged, type LogRecord, RecordTooLarge } from './log-record.js';
import { type ObjectStore, StoreUnavailable } from './object-store.js';
import { RecordLog } from './record-log.js';

const PREFIX = 'projects/p/runs/r/log';
const collect = async (records: AsyncIterable<LogRecord>) => {
  const all: LogRecord[] = [];
  for await (const record of records) all.push(record);
  return all;
};

/** A store whose next puts fail: 'after' writes the object and loses the reply, 'before' does nothing. */
function faulty(store: ObjectStore, faults: ('after' | 'before')[]): ObjectStore {
  return Object.create(store, {
    put: {
      value: async (...args: Parameters<ObjectStore['put']>) => {
        const fault = faults.shift();
        if (fault !== 'before') await store.put(...args);
        if (fault) throw new StoreUnavailable('lost', true);
      },
    },
  });
}

test('records are numbered from 1 and read back as they were appended', async () => {
  const { store } = await freshDirectoryStore();
  const log = new RecordLog(store, PREFIX, { wallClock: () => 1234 });
  const first = await log.append('created', { spec: { model: 'vit_tiny', rates: [0, 0.1] }, absent: undefined });
  assert.deepEqual(first, {
    seq: 1,
    writer: log.writer,
    previous: '',
    kind: 'created',
    at: 1234,
    spec: { model: 'vit_tiny', rates: [0, 0.1] },
  });
  await log.append('claimed');
  const reader = new RecordLog(store, PREFIX);
  assert.deepEqual(
    (await collect(reader.read())).map(({ seq, kind }) => [seq, kind]),
    [
      [1, 'created'],
      [2, 'claimed'],
    ],
  );
  assert.equal(reader.head, 2);
  assert.equal((await store.list(`${PREFIX}/`)).objects[0]!.key, `${PREFIX}/000000000001`);
});

test('appends on one log take their turns; a failed one does not stop the next', async () => {
  const { store } = await freshDirectoryStore();
  const log = new RecordLog(store, PREFIX, { maxRecordBytes: 300 });
  const results = await Promise.allSettled([0, 1, 2, 3].map((i) => log.append('metrics', i === 2 ? { text: 'x'.repeat(400) } : { i })));
  assert.ok((results[2] as PromiseRejectedResult).reason instanceof RecordTooLarge);
  assert.deepEqual(
    (await collect(log.read())).map(({ i }) => i),
    [0, 1, 3],
  );
  for (const name of ['seq', 'writer', 'previous', 'kind', 'at']) await assert.rejects(log.append('x', { [name]: 1 }), TypeError);
});

test('a stale writer gets a conflict and learns who won; after catching up, it can append', async () => {
  const { store } = await freshDirectoryStore();
  const [a, b] = [new RecordLog(store, PREFIX), new RecordLog(store, PREFIX)];
  await a.append('created');
  await assert.rejects(
    b.append('claimed', { by: 'b' }),
    (error) => error instanceof LogConflict && error.seq === 1 && error.winner.kind === 'created',
  );
  assert.deepEqual(
    (await collect(b.read())).map(({ kind }) => kind),
    ['created'],
  );
  await b.append('claimed', { by: 'b' });
  await assert.rejects(a.append('metrics'), LogConflict);
  await assert.rejects(a.append('metrics'), LogConflict, 'it stays stale until it reads on');
  assert.deepEqual(
    (await collect(b.read())).map(({ kind }) => kind),
    ['created', 'claimed'],
  );
});

test('twenty writers that each catch up and retry leave one history without gaps or losses', async () => {
  const { store } = await freshDirectoryStore();
  const write = async (i: number) => {
    const log = new RecordLog(store, PREFIX);
    for (;;) {
      try {
        return await log.append('metrics', { i });
      } catch (error) {
        assert.ok(error instanceof LogConflict);
        await collect(log.read());
      }
    }
  };
  await Promise.all(Array.from({ length: 20 }, (_, i) => write(i)));
  const records = await collect(new RecordLog(store, PREFIX).read());
  assert.deepEqual(
    records.map(({ seq }) => seq),
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  assert.equal(new Set(records.map(({ i }) => i)).size, 20);
});

test('an append without an answer can be repeated: it is there once, whether it had happened or not', async () => {
  for (const fault of ['after', 'before'] as const) {
    const { store } = await freshDirectoryStore();
    let at = 0;
    const log = new RecordLog(faulty(store, [fault]), PREFIX, { wallClock: () => at++ });
    await assert.rejects(log.append('checkpoint', { step: 5 }), StoreUnavailable);
    assert.equal((await log.append('checkpoint', { step: 5 })).seq, 1, fault);
    assert.equal((await log.append('checkpoint', { step: 5 })).seq, 2, 'a new append of the same is a new record');
    assert.equal((await collect(log.read())).length, 2);
  }
});

test('an append without an answer that did happen, then another one: both are there, in order', async () => {
  const { store } = await freshDirectoryStore();
  const log = new RecordLog(faulty(store, ['after']), PREFIX);
  await assert.rejects(log.append('metrics', { step: 1 }), StoreUnavailable);
  assert.equal((await log.append('metrics', { step: 2 })).seq, 2);
  assert.deepEqual(
    (await collect(log.read())).map(({ step }) => step),
    [1, 2],
  );
});

test('watching yields existing and then new records, each once, and ends with its signal', async () => {
  const { store } = await freshDirectoryStore();
  const log = new RecordLog(store, PREFIX);
  for (let i = 1; i <= 12; i++) await log.append('metrics', { i });
  const ending = new AbortController();
  const seen: unknown[] = [];
  const watching = (async () => {
    for await (const { i } of new RecordLog(store, PREFIX).watch({ after: 3, pollMs: 5, signal: ending.signal })) {
      seen.push(i);
      if (i === 12) for (let next = 13; next <= 15; next++) await log.append('metrics', { i: next });
      if (i === 15) ending.abort();
    }
  })();
  await watching;
  assert.deepEqual(
    seen,
    Array.from({ length: 12 }, (_, i) => i + 4),
  );
});

test('a missing, foreign or unreadable record is named', async () => {
  const { store } = await freshDirectoryStore();
  const log = new RecordLog(store, PREFIX);
  for (let i = 0; i < 3; i++) await log.append('metrics');
  const key = `${PREFIX}/000000000002`;
  for (const bytes of ['{', 'null', '[]', '{"seq":3,"writer":"w","kind":"k"}', '{"seq":2,"writer":"w"}', undefined]) {
    if (bytes === undefined) await store.delete(key);
    else await store.put(key, Buffer.from(bytes));
    await assert.rejects(collect(new RecordLog(store, PREFIX).read()), (error) => error instanceof LogDamaged && error.key === key, bytes);
  }
});

test('a snapshot stands for the records up to it; old ones go, damaged ones are passed over', async () => {
  const { store } = await freshDirectoryStore();
  const log = new RecordLog(store, PREFIX);
  assert.equal(await log.readSnapshot(), undefined);
  for (let i = 1; i <= 10; i++) {
    await log.append('metrics', { i });
    if (i % 3 === 0) await log.writeSnapshot(i, { sum: (i * (i + 1)) / 2 });
  }
  const reader = new RecordLog(store, PREFIX);
  const { last, ...snapshot } = (await reader.readSnapshot())!;
  assert.deepEqual(snapshot, { seq: 9, state: { sum: 45 } });
  assert.match((await store.get(`${PREFIX}/000000000009`)).bytes.toString(), new RegExp(`"sha256":"${last}"}$`));
  assert.deepEqual(
    (await collect(reader.read({ after: 9 }))).map(({ i }) => i),
    [10],
  );
  assert.equal((await reader.append('metrics')).seq, 11);
  assert.equal((await store.list(`${PREFIX}-snapshots/`)).objects.length, 2);
  await store.put(`${PREFIX}-snapshots/000000000009`, Buffer.from('{"seq":9,'));
  const older = (await new RecordLog(store, PREFIX).readSnapshot())!;
  assert.deepEqual([older.seq, older.state], [6, { sum: 21 }]);
  await assert.rejects(new RecordLog(store, PREFIX, { maxSnapshotBytes: 10 }).writeSnapshot(10, 'long text'), RecordTooLarge);
});

test('a changed byte that leaves valid JSON is noticed, in a record and in a snapshot', async () => {
  const { store } = await freshDirectoryStore();
  const log = new RecordLog(store, PREFIX);
  await log.append('steps', { loss: 125 });
  const key = `${PREFIX}/000000000001`;
  const written = (await store.get(key)).bytes.toString();
  assert.match(written, /"loss":125/);
  await store.put(key, Buffer.from(written.replace('"loss":125', '"loss":725')));
  await assert.rejects(collect(new RecordLog(store, PREFIX).read()), (error) => error instanceof LogDamaged && error.message.includes(key));
});

test('a listing that misses a record, as one that runs beside appends may, hides nothing', async () => {
  const { store } = await freshDirectoryStore();
  const log = new RecordLog(store, PREFIX);
  for (let i = 0; i < 5; i++) await log.append('metrics', { i });
  const forgetful: ObjectStore = Object.create(store, {
    list: {
      value: async (...args: Parameters<ObjectStore['list']>) => {
        const page = await store.list(...args);
        return { ...page, objects: page.objects.filter(({ key }) => !key.endsWith('3')) };
      },
    },
  });
  const records = await collect(new RecordLog(forgetful, PREFIX).read());
  assert.deepEqual(
    records.map(({ i }) => i),
    [0, 1, 2, 3, 4],
  );
});

test('a damaged log takes a last record after the newest one it has, once, and whoever reads on from there sees it', async () => {
  const { store } = await freshDirectoryStore();
  const log = new RecordLog(store, PREFIX);
  for (const kind of ['a', 'b', 'c']) await log.append(kind);
  await store.delete(`${PREFIX}/000000000002`);
  const other = new RecordLog(store, PREFIX);
  assert.ok(await other.has(3));
  assert.ok(!(await other.has(4)));
  for (let k = 0; k < 3; k++) await other.appendToDamaged('end', { why: 'damage' });
  assert.equal((await store.list(`${PREFIX}/`)).objects.length, 3);
  await assert.rejects(log.append('d'), (error) => error instanceof LogConflict && error.winner.kind === 'end');
  await assert.rejects(collect(new RecordLog(store, PREFIX).read()), LogDamaged);
  // Writers that come between are no obstacle.
  await Promise.all(['x', 'y', 'z'].map((kind) => new RecordLog(store, PREFIX).appendToDamaged(kind, {})));
  assert.equal((await store.list(`${PREFIX}/`)).objects.length, 6);
});
