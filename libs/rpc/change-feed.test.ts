import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { DataLoss, ResourceExhausted, Unavailable } from '#errors/errors.js';
import { StoreUnavailable } from '#storage/object-store.js';
import { ChangeFeed, type ChangeFeedOptions } from './change-feed.js';

const never = new AbortController().signal;

function feedOf(part: Partial<ChangeFeedOptions<string>> & Pick<ChangeFeedOptions<string>, 'look'>) {
  const errors: unknown[] = [];
  return { errors, feed: new ChangeFeed<string>({ what: 'Watch', pollMs: 5, maxWatches: 1000, onError: (e) => errors.push(e), ...part }) };
}

test('one poll serves all watchers of a key, and stops with the last of them', async (t) => {
  const looks = new Map<string, number>();
  let number = 1;
  const { feed } = feedOf({
    look: async (key) => {
      looks.set(key, (looks.get(key) ?? 0) + 1);
      return { number, value: `${key}${number}` };
    },
  });
  t.after(() => feed.close());
  const waiting = Promise.all(Array.from({ length: 300 }, () => feed.changed('a', 1, never)));
  await delay(60);
  const before = looks.get('a')!;
  assert.ok(before >= 2 && before <= 20, `${before} looks in 60 ms at one each 5 ms, for 300 watchers`);
  number = 2;
  for (const change of await waiting) assert.deepEqual(change, { number: 2, value: 'a2' });
  const after = looks.get('a')!;
  await delay(40);
  assert.ok(looks.get('a')! <= after + 1, 'nobody waits, so nobody looks');
});

test('a change of this process wakes at once those that are behind it, and no others', async (t) => {
  const { feed } = feedOf({ pollMs: 60_000, look: async () => assert.fail('it is not polled') });
  t.after(() => feed.close());
  const behind = Array.from({ length: 100 }, () => feed.changed('a', 4, never));
  const abreast = new AbortController();
  const waits = feed.changed('a', 5, abreast.signal);
  feed.notify('a', { number: 5, value: 'five' });
  feed.notify('b', { number: 9, value: 'other' });
  for (const change of await Promise.all(behind)) assert.equal(change.value, 'five');
  abreast.abort(new Error('left'));
  await assert.rejects(waits, /left/);
});

test('damage reaches the watchers; a store that is away for a moment does not', async (t) => {
  let error: Error | undefined = new StoreUnavailable('away', true);
  const { feed, errors } = feedOf({
    look: async () => {
      if (error) throw error;
      return { number: 7, value: 'seven' };
    },
  });
  t.after(() => feed.close());
  const patient = feed.changed('a', 6, never);
  while (errors.length < 3) await delay(5);
  error = undefined;
  assert.equal((await patient).number, 7);
  error = new DataLoss('log/3', 'it is missing');
  await assert.rejects(feed.changed('a', 7, never), DataLoss);
  error = new StoreUnavailable('no such bucket', false);
  await assert.rejects(feed.changed('a', 7, never), /no such bucket/);
});

test('watches are counted and bounded', () => {
  const { feed } = feedOf({ maxWatches: 2, look: async () => ({ number: 0, value: '' }) });
  const leave = feed.enter();
  feed.enter();
  assert.throws(
    () => feed.enter(),
    (error) => error instanceof ResourceExhausted && /2 watches/.test(error.limit),
  );
  leave();
  leave();
  assert.equal(feed.watches, 1);
  feed.enter();
  feed.close();
});

test('a store that stays away ends the watches with its error, and a look that hangs ends them with UNAVAILABLE', async (t) => {
  const { feed: away } = feedOf({
    patienceMs: 50,
    look: async () => {
      throw new StoreUnavailable('away', true);
    },
  });
  t.after(() => away.close());
  for (const ended of await Promise.allSettled(Array.from({ length: 40 }, () => away.changed('a', 1, never))))
    assert.ok(ended.status === 'rejected' && ended.reason instanceof StoreUnavailable);
  // A watch that begins later has the same patience: what failed before does not count.
  await assert.rejects(away.changed('a', 1, never), StoreUnavailable);

  const { feed: hanging } = feedOf({
    patienceMs: 50,
    look: (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
  });
  t.after(() => hanging.close());
  await assert.rejects(hanging.changed('a', 1, never), (error) => error instanceof Unavailable && error.retryAfterMs > 0);
});

test('closing ends open watches, and those that begin later, with UNAVAILABLE', async () => {
  const { feed } = feedOf({ look: async () => ({ number: 1, value: '' }) });
  const open = Promise.allSettled([feed.changed('a', 1, never), feed.changed('a', 1, never), feed.changed('b', 1, never)]);
  feed.close();
  for (const ended of await open) assert.ok(ended.status === 'rejected' && ended.reason instanceof Unavailable);
  await assert.rejects(feed.changed('a', 1, never), Unavailable);
});
