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
async function pages(
  keys: readonly string[],
  size: number,
  read: (key: string) => Promise<string | undefined>,
  bytesOf = (item: string) => item.length,
) {
  const all: { items: string[]; unreadable: string[] }[] = [];
  for (let pageToken = ''; ; ) {
    const page = parsePage({ pageSize: size, pageToken }, binding);
    const rest = keys.filter((key) => page.after === undefined || key > page.after);
    const found = await listPage({ keys: rest, nameOf: (key) => `names/${key}`, placeOf: (key) => key, read, bytesOf, page, binding });
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
  const common = { keys: ['a', 'b'], nameOf: (key: string) => key, placeOf: (key: string) => key, bytesOf: () => 1, page, binding };
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

test('no page is longer than 4 MiB unless a single item is, and the pages together have everything', async () => {
  const limit = 4 << 20;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 3 << 20 }), { minLength: 1, maxLength: 30 }), async (sizes) => {
      sizes[0] = limit + 1;
      const keys = sizes.map((_, k) => String(k).padStart(3, '0'));
      const sizeOf = (key: string): number => sizes[Number(key)]!;
      const all = await pages(keys, 10, async (key) => key, sizeOf);
      assert.deepEqual(
        all.flatMap(({ items }) => items),
        keys,
      );
      for (const [k, { items }] of all.entries()) {
        const bytes = items.reduce((sum, key) => sum + sizeOf(key), 0);
        assert.ok(items.length === 1 || bytes <= limit, `${items.length} items of ${bytes} bytes`);
        // A page that is not full would be too long with the next item.
        const next = all[k + 1]?.items[0];
        if (next !== undefined && items.length < 10) assert.ok(bytes + sizeOf(next) > limit - (128 << 10));
      }
    }),
    { numRuns: 30 },
  );
  // Those that are damaged count with what is said of them.
  const long = 'x'.repeat(1 << 20);
  const damaged = await pages(['a', 'b', 'c', 'd', 'e'], 10, async (key) => {
    throw new DataLoss(key, long);
  });
  assert.deepEqual(
    damaged.map(({ unreadable }) => unreadable.length),
    [3, 2],
  );
});
