// What the metrics say about a store's operations: how each ended, and whether the store is away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { PromptStore } from '#rpc/prompt-store.js';
import { createStoreMetrics } from '#telemetry/store-metrics.js';
import { freezableStore } from '../../test/support/freezable-store.js';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { until } from '../../test/support/until.js';
import { MeasuredStore } from './measured-store.js';
import { type ObjectStore, StoreFull, StoreSilent, StoreUnavailable } from './object-store.js';

function measured(inner: ObjectStore) {
  const registry = new Registry();
  const store = new MeasuredStore(inner, createStoreMetrics(registry));
  const value = async (pattern: RegExp): Promise<number> => Number(pattern.exec(await registry.metrics())?.[1] ?? 0);
  return {
    store,
    ended: (operation: string, outcome: string) =>
      value(new RegExp(`^dropstream_store_operation_seconds_count\\{operation="${operation}",outcome="${outcome}"\\} (\\S+)$`, 'm')),
    away: () => value(/^dropstream_store_away (\S+)$/m),
  };
}

test('every operation is counted by how it ended, and does what it did before', async () => {
  const { store, ended, away } = measured((await freshDirectoryStore()).store);
  const { etag } = await store.put('a/b', Buffer.from('one'), { ifAbsent: true });
  await assert.rejects(store.put('a/b', Buffer.from('two'), { ifAbsent: true }));
  await assert.rejects(store.replace('a/b', Buffer.from('two'), { ifMatch: 'another' }));
  await store.replace('a/b', Buffer.from('two'), { ifMatch: etag });
  assert.equal((await store.get('a/b')).bytes.toString(), 'two');
  assert.equal((await store.getRange('a/b', 1, 2)).toString(), 'wo');
  assert.equal((await store.head('a/b')).sizeBytes, 3);
  assert.equal((await store.list('a/')).objects.length, 1);
  await store.delete('a/b');
  await assert.rejects(store.get('a/b'));
  await assert.rejects(store.get('../b'));
  await assert.rejects(store.get('a/b', { signal: AbortSignal.abort() }));
  const counted = await Promise.all(
    [
      ['put', 'ok'],
      ['put', 'exists'],
      ['replace', 'exists'],
      ['replace', 'ok'],
      ['get', 'ok'],
      ['get_range', 'ok'],
      ['head', 'ok'],
      ['list', 'ok'],
      ['delete', 'ok'],
      ['get', 'absent'],
      ['get', 'refused'],
      ['get', 'cancelled'],
    ].map(([operation, outcome]) => ended(operation!, outcome!)),
  );
  assert.deepEqual(counted, Array(12).fill(1));
  assert.equal(await away(), 0);
});

test('a store is away from an operation without an answer to the next one with an answer', async () => {
  const { store: inner } = await freshDirectoryStore();
  let fails: Error | undefined;
  const faulty = new Proxy(inner, {
    get: (target, key) => (key === 'head' && fails ? () => Promise.reject(fails) : Reflect.get(target, key)?.bind?.(target)),
  });
  const { store, ended, away } = measured(faulty);
  fails = new StoreUnavailable('no route to it', true);
  await assert.rejects(store.head('a'), StoreUnavailable);
  assert.equal(await away(), 1);
  // Whoever does not wait has not learnt anything.
  await assert.rejects(store.get('a', { signal: AbortSignal.abort() }));
  assert.equal(await away(), 1);
  fails = new StoreFull('the store', 'no space');
  await assert.rejects(store.head('a'), StoreFull);
  assert.equal(await away(), 0, 'a full store answers');
  assert.deepEqual([await ended('head', 'unavailable'), await ended('head', 'full')], [1, 1]);
});

test('a call that hangs counts as unavailable when nobody waits for it any more, and is not counted again', async () => {
  const { store: inner } = await freshDirectoryStore();
  const freezable = freezableStore(inner);
  const { store, ended, away } = measured(freezable.store);
  const prompt = new PromptStore(store, { operationMs: 50, retryMs: 1 });
  freezable.freeze();
  await assert.rejects(prompt.list('a/'), StoreSilent);
  assert.deepEqual([await ended('list', 'unavailable'), await away()], [1, 1]);
  freezable.thaw();
  await until('the store answers', () => prompt.list('a/').then(Boolean, () => false));
  assert.deepEqual([await ended('list', 'unavailable'), await away()], [1, 0]);
});
