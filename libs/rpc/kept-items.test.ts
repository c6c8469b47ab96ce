import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { DataLoss } from '#errors/errors.js';
import { StoreUnavailable } from '#storage/object-store.js';
import { type KeptItem, KeptItems, listFreshness } from './kept-items.js';

const never = new AbortController().signal;
const item = (part: Partial<KeptItem> = {}): KeptItem => ({ uid: 'u', number: 1, isFinal: false, readMs: 0, ...part });

test('an item is read once while it is fresh, and what another call saw is not replaced by something older', async () => {
  let reads = 0;
  const items = new KeptItems<KeptItem>({
    limit: 8,
    read: async () => {
      reads++;
      return item();
    },
  });
  assert.deepEqual(await Promise.all([items.get('a', never), items.get('a', never)]), [item(), item()]);
  assert.equal(reads, 1);
  items.saw('a', item({ number: 3 }));
  items.saw('a', item({ number: 2 }));
  assert.equal((await items.get('a', never))!.number, 3);
  items.saw('a', item({ uid: 'later', number: 1 }));
  assert.equal((await items.get('a', never))!.uid, 'later');
  items.expire('a');
  assert.equal((await items.get('a', never))!.uid, 'u');
  assert.equal(reads, 2);
});

test('damage is kept as such and thrown; a store that is away is an error of the call and is not kept', async () => {
  let fails: Error | undefined = new DataLoss('log/2', 'it is missing');
  const items = new KeptItems<KeptItem>({
    limit: 8,
    read: async () => {
      if (fails) throw fails;
      return item();
    },
  });
  await assert.rejects(items.get('a', never), DataLoss);
  assert.ok('error' in items.kept('a')!);
  await items.renewAll(['b']);
  assert.ok('error' in items.kept('b')!);
  fails = new StoreUnavailable('away', true);
  await assert.rejects(items.get('c', never), StoreUnavailable);
  await assert.rejects(items.renewAll(['c']), StoreUnavailable);
  assert.equal(items.kept('c'), undefined);
  fails = undefined;
  assert.deepEqual(await items.get('c', never), item());
});

test('final items are not read again by a look at all, and no more than 16 are read at a time', async () => {
  let reading = 0;
  let most = 0;
  const reads = new Map<string, number>();
  const items = new KeptItems<KeptItem>({
    limit: 1000,
    read: async (key) => {
      reads.set(key, (reads.get(key) ?? 0) + 1);
      most = Math.max(most, ++reading);
      await new Promise((resolve) => setImmediate(resolve));
      reading--;
      return item({ isFinal: key.startsWith('final') });
    },
  });
  const keys = Array.from({ length: 100 }, (_, k) => `${k % 2 ? 'final' : 'open'}-${k}`);
  const look = () => items.renewAll(keys);
  await look();
  assert.equal(most, 8);
  await Promise.all(keys.map((key) => items.get(`of a page ${key}`, never)));
  assert.equal(most, 16);
  await delay(listFreshness.freshMs + 50);
  await look();
  for (const key of keys) assert.equal(reads.get(key), key.startsWith('final') ? 1 : 2, key);
});

test('what is expired is read anew, without what was kept, even if it was final', async () => {
  const given: (KeptItem | undefined)[] = [];
  const items = new KeptItems<KeptItem>({
    limit: 10,
    read: async (_, kept) => {
      given.push(kept);
      return given.length === 1 ? item({ isFinal: true }) : undefined;
    },
  });
  assert.ok(await items.get('deleted', never));
  items.expire('deleted');
  assert.equal(await items.get('deleted', never), undefined);
  assert.deepEqual(given, [undefined, undefined]);
});

test('no more than `limit` items are kept, and closing ends the readings', async () => {
  const items = new KeptItems<KeptItem>({
    limit: 2,
    read: (key, _, signal) =>
      key === 'slow' ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))) : Promise.resolve(item()),
  });
  for (const key of ['a', 'b', 'c']) await items.get(key, never);
  assert.equal(items.kept('a'), undefined);
  assert.ok(items.kept('c'));
  const slow = items.get('slow', never);
  items.close();
  await assert.rejects(slow, /closing/);
  await assert.rejects(items.get('new', never), /closing/);
});
