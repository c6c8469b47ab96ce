// A store whose file system has no room, or is gone: told as such, nothing half-written, and back as soon as there is room again.
import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { smallDisk } from '../../test/support/small-disk.js';
import { saveCheckpoint } from './checkpoint.js';
import { DirectoryStore } from './directory-store.js';
import { listAll, ObjectNotFound, type ObjectStore, StoreFull, StoreUnavailable } from './object-store.js';
import { RecordLog } from './record-log.js';

const MIB = 1 << 20;

async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of listAll(store, '')) keys.push(key);
  return keys;
}

async function filesOf(folder: string): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).sort();
}

test('a full disk: writes of every kind say which folder is full and leave nothing, reads go on, and room ends it', async (t) => {
  const disk = await smallDisk(2 * MIB);
  if ('skip' in disk) return t.skip(disk.skip);
  t.after(() => disk.remove());
  const store = await DirectoryStore.open(disk.folder);
  await store.put('a/first', Buffer.alloc(MIB, 1));
  const { etag } = await store.put('a/small', Buffer.from('x'));
  const log = new RecordLog(store, 'log');
  await log.append('created');
  const before = await filesOf(disk.folder);
  const big = Buffer.alloc(4 * MIB, 2);
  const weights = [0, 1].map((k) => ({ name: `w${k}`, dtype: 'F32' as const, shape: [MIB / 8], data: new Float32Array(MIB / 8) }));
  const state = { step: 7, epoch: 1, logSequence: 1, fingerprint: 'f', epochAccumulators: null, best: null };
  const writes = [
    () => store.put('b/c/plain', big),
    () => store.put('b/c/exclusive', big, { ifAbsent: true }),
    () => store.put('a/first', big),
    () => store.replace('a/small', Buffer.alloc(MIB, 3), { ifMatch: etag }),
    () => log.append('steps', { filler: 'x'.repeat(MIB - 1000) }),
    // The first part fits, and the second does not: the first one must not take up what room there is.
    () => saveCheckpoint(store, 'checkpoints', { ...state, weights }, { maxPartBytes: MIB / 2 + 1000 }),
  ];
  for (const write of writes) {
    await assert.rejects(write, (error) => error instanceof StoreFull && error.place === disk.folder && error.why === 'ENOSPC');
    assert.deepEqual(await filesOf(disk.folder), before);
  }
  assert.equal((await store.get('a/first')).bytes.length, MIB);
  // A process that starts now can read, and delete.
  assert.equal((await (await DirectoryStore.open(disk.folder)).get('a/small')).bytes.toString(), 'x');
  await disk.resize(16 * MIB);
  await log.append('steps', { filler: 'x'.repeat(MIB - 1000) });
  await saveCheckpoint(store, 'checkpoints', { ...state, weights });
  assert.equal((await keysOf(store)).length, 6);
});

test('a file system that is not mounted any more is neither an empty store nor made anew', async (t) => {
  const disk = await smallDisk(MIB);
  if ('skip' in disk) return t.skip(disk.skip);
  t.after(() => disk.remove());
  const store = await DirectoryStore.open(disk.folder);
  await store.put('a/b', Buffer.from('1'));
  await disk.unmount();
  const isAway = (error: unknown) => error instanceof StoreUnavailable && error.retryable && error.message.includes(disk.folder);
  await assert.rejects(store.list(''), isAway);
  await assert.rejects(store.get('a/b'), isAway);
  await assert.rejects(store.head('a/b'), isAway);
  await assert.rejects(store.put('a/c', Buffer.from('2')), isAway);
  assert.deepEqual(await readdir(disk.folder), []);
  await disk.mount();
  // The file system is back, although a memory one has lost its objects.
  await store.put('a/d', Buffer.from('3'));
  assert.deepEqual(await keysOf(store), ['a/d']);
  await assert.rejects(store.get('a/b'), ObjectNotFound);
});

test('what is stored is only for its owner', async (t) => {
  const disk = await smallDisk(MIB);
  if ('skip' in disk) return t.skip(disk.skip);
  t.after(() => disk.remove());
  const root = join(disk.folder, 'new', 'store');
  const store = await DirectoryStore.open(root);
  await store.put('a/b/c', Buffer.from('1'));
  await store.put('a/b/d', Buffer.from('1'), { ifAbsent: true });
  await store.replace('a/b/c', Buffer.from('2'), { ifMatch: (await store.head('a/b/c')).etag });
  const modes: Record<string, string> = {};
  for (const path of ['', 'a', 'a/b', 'a/b/c', 'a/b/d']) modes[path] = ((await stat(join(root, path))).mode & 0o777).toString(8);
  assert.deepEqual(modes, { '': '700', a: '700', 'a/b': '700', 'a/b/c': '600', 'a/b/d': '600' });
});
