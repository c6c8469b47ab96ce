import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { DataLoss } from '#errors/errors.js';
import { StoreUnavailable } from '#storage/object-store.js';
import { listPage } from './list-page.js';
import { parsePage } from './pagination.js';

const binding = 'List x';

/** Every page of a list, as a client reads them. */
async function pages(keys: readonly string[], size: number, read: (key: string) => Promise<string | undefined>) {
  const all: { items: string[]; unreadable: string[] }[] = [];
  for (let pageToken = ''; ; ) {
    const page = parsePage({ pageSize: size, pageToken }, binding);
    const rest = keys.filter((key) => page.after === undefined || key > page.after);
    const found = await listPage({ keys: rest, nameOf: (key) => `names/${key}`, placeOf: (key) => key, read, page, binding });
    all.push({ items: found.items, unreadable: found.unreadable.map(({ name }) => name) });
    pageToken = found.nextPageToken;
    if (pageToken === '') return all;
  }
}

test('pages hold everything once and in order: what is whole as items, what is damaged by name; what is gone is left out', async () => {
  const kind = fc.constantFrom('whole', 'damaged', 'gone');
  await fc.assert(
    fc.asyncProperty(fc.array(kind, { maxLength: 60 }), fc.integer({ min: 1, max: 20 }), async (kinds, size) => {
      const keys = kinds.map((_, k) => String(k).padStart(3, '0'));
      let reading = 0;
      const all = await pages(keys, size, async (key) => {
        assert.ok(++reading <= 16, 'bounded');
        await turn();
        reading--;
        const what = kinds[Number(key)];
        if (what === 'damaged') throw new DataLoss(key, 'it is missing');
        return what === 'whole' ? key : undefined;
      });
      const of = (what: string) => keys.filter((_, k) => kinds[k] === what);
      assert.deepEqual(
        all.flatMap(({ items }) => items),
        of('whole'),
      );
      assert.deepEqual(
        all.flatMap(({ unreadable }) => unreadable),
        of('damaged').map((key) => `names/${key}`),
      );
      for (const { items, unreadable } of all.slice(0, -1)) assert.equal(items.length + unreadable.length, size);
    }),
    { numRuns: 60 },
  );
});

test('the reason of damage is told; any other error fails the call', async () => {
  const page = { size: 10, after: undefined };
  const common = { keys: ['a', 'b'], nameOf: (key: string) => key, placeOf: (key: string) => key, page, binding };
  const found = await listPage({
    ...common,
    read: async (key) => {
      if (key === 'a') throw new DataLoss('log/3', 'it is missing');
      return key;
    },
  });
  assert.deepEqual(found, { items: ['b'], unreadable: [{ name: 'a', reason: 'log/3 is damaged: it is missing' }], nextPageToken: '' });
  const away = listPage({
    ...common,
    read: async () => {
      throw new StoreUnavailable('away', true);
    },
  });
  await assert.rejects(away, StoreUnavailable);
});
