import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ObjectStore } from '#storage/object-store.js';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { entrySegment, NameIndex, parseEntrySegment } from './name-index.js';

const id = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const uid = fc.stringMatching(/^[0-9a-f]{32}$/);

test('segments of ids and uids are read back, and sort as the ids do', () => {
  fc.assert(
    fc.property(id, id, uid, uid, (a, b, u, v) => {
      assert.deepEqual(parseEntrySegment(entrySegment(a, u)), { id: a, uid: u });
      if (a !== b) assert.equal(entrySegment(a, u) < entrySegment(b, v), a < b);
    }),
  );
  for (const foreign of ['', 'a', 'a-b', `-${'0'.repeat(32)}`, 'run-0123456789abcdef']) assert.equal(parseEntrySegment(foreign), undefined);
});

test('entries of both versions come in the order of their ids, from any id on', async () => {
  const { store } = await freshDirectoryStore();
  const index = new NameIndex(store, 'projects/p/index/runs', 'projects/p/run-index');
  const uids = { a: '0'.repeat(32), 'a-b': '1'.repeat(32), a0: '2'.repeat(32), 'b-c-d': '3'.repeat(32) };
  for (const [name, of] of Object.entries(uids)) await index.add(name, of);
  for (const old of ['a-a', 'b', 'c']) await store.put(`projects/p/run-index/${old}`, Buffer.from('{}'));
  const from = async (after: string | undefined) => {
    const ids: string[] = [];
    for await (const entry of index.entries({ after })) ids.push(entry.uid === undefined ? `${entry.id} of 0.1` : entry.id);
    return ids;
  };
  const all = ['a', 'a-a of 0.1', 'a-b', 'a0', 'b of 0.1', 'b-c-d', 'c of 0.1'];
  assert.deepEqual(await from(undefined), all);
  for (const [k, entry] of all.entries()) assert.deepEqual(await from(entry.split(' ')[0]), all.slice(k + 1));
  await index.remove('a-b', uids['a-b']);
  await index.removeOf01('b');
  assert.deepEqual(await from('a'), ['a-a of 0.1', 'a0', 'b-c-d', 'c of 0.1']);
});

test('a page of names is listed once in a while, and shows at once what this process adds and removes', async () => {
  const { store } = await freshDirectoryStore();
  let lists = 0;
  const counted: ObjectStore = Object.create(store, {
    list: {
      value: (...args: Parameters<ObjectStore['list']>) => {
        lists++;
        return store.list(...args);
      },
    },
  });
  const open = () => new NameIndex(counted, 'projects/p/index/runs', 'projects/p/run-index');
  const [index, other] = [open(), open()];
  const page = async (of: NameIndex, after?: string) => {
    const ids: string[] = [];
    for await (const entry of of.entries({ after, first: 3 })) {
      ids.push(entry.id);
      if (ids.length === 3) break;
    }
    return ids;
  };
  const uidOf = (name: string) => name.charCodeAt(0).toString(16).padStart(32, '0');
  for (const name of ['b', 'd', 'f', 'h']) await other.add(name, uidOf(name));
  assert.deepEqual(await page(index), ['b', 'd', 'f']);
  const before = lists;
  await index.add('a', uidOf('a'));
  await index.add('e', uidOf('e'));
  await index.remove('b', uidOf('b'));
  assert.deepEqual(await page(index), ['a', 'd', 'e']);
  await index.add('c', uidOf('c'));
  await index.remove('c', uidOf('c'));
  assert.deepEqual(await page(index), ['a', 'd', 'e']);
  assert.equal(lists, before, 'nothing was listed again');
  await index.remove('d', uidOf('d'));
  await index.add('i', uidOf('i'));
  assert.deepEqual(await page(index), ['a', 'e', 'f']);
  assert.deepEqual(await page(index, 'f'), ['h', 'i']);
  // Who reads all names reads them from the store.
  await other.add('g', uidOf('g'));
  const all: string[] = [];
  for await (const { id } of index.entries({})) all.push(id);
  assert.deepEqual(all, ['a', 'e', 'f', 'g', 'h', 'i']);
});
