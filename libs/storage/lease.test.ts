import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { until } from '../../test/support/until.js';
import { Heartbeat, heartbeatKey, StaleWatch } from './lease.js';
import { type ObjectStore, StoreUnavailable } from './object-store.js';

const BEATS = 'projects/p/runs/r/heartbeats';

test("an owner counts as gone only after the same heartbeat over a full TTL of the watcher's own clock", () => {
  let now = 1_000_000;
  const watch = new StaleWatch(10_000, () => now);
  const beat = (n: number) => Buffer.from(`beat ${n}`);
  const looks: [string, number, number, Uint8Array | undefined, 'watching' | 'stale'][] = [
    ['the first look never decides, however late it comes', 0, 2, beat(1), 'watching'],
    ['half', 5_000, 2, beat(1), 'watching'],
    ['just not yet', 4_999, 2, beat(1), 'watching'],
    ['a full TTL', 1, 2, beat(1), 'stale'],
    ['it lives', 0, 2, beat(2), 'watching'],
    ['almost a TTL in all, with a beat between', 5_000, 2, beat(3), 'watching'],
    ['half of the next', 5_000, 2, beat(3), 'watching'],
    ['another claim starts anew', 5_000, 3, beat(3), 'watching'],
    ['so does a heartbeat that goes', 5_000, 3, undefined, 'watching'],
    ['none for half a TTL', 5_000, 3, undefined, 'watching'],
    ['none for a TTL', 5_000, 3, undefined, 'stale'],
  ];
  for (const [why, laterMs, fence, bytes, expected] of looks) {
    now += laterMs;
    assert.equal(watch.observe(fence, bytes), expected, why);
  }
});

test('heartbeats go on where a third of a TTL is no whole number of milliseconds', async () => {
  const { store } = await freshDirectoryStore();
  const key = heartbeatKey(BEATS, 1);
  const heartbeat = await Heartbeat.start(store, key, { owner: 'w', intervalMs: 3005 / 3, lostAfterMs: 60_000, onLost: assert.fail });
  const first = (await store.get(key)).bytes;
  await until('the next heartbeat', async () => !(await store.get(key)).bytes.equals(first));
  await heartbeat.stop();
});

test('a slow answer counts from when it was asked for, not from when it came', async () => {
  let now = 0;
  const watch = new StaleWatch(1_000, () => now);
  const slow = {
    get: async () => {
      now += 400;
      return { bytes: Buffer.from('same'), etag: '' };
    },
  } as unknown as ObjectStore;
  // Requests are sent at 0, 400, 800, 1200 and 1600; the first answer arrives at 400, from when on the time counts.
  const seen = [];
  for (let look = 0; look < 4; look++) seen.push(await watch.look(slow, BEATS, 1));
  assert.deepEqual(seen, ['watching', 'watching', 'watching', 'watching']);
  assert.equal(await watch.look(slow, BEATS, 1), 'stale');
});

test('a heartbeat changes every time, belongs to one claim, and is deleted by stop', async () => {
  const { store } = await freshDirectoryStore();
  const key = heartbeatKey(BEATS, 7);
  const heartbeat = await Heartbeat.start(store, key, { owner: 'w', intervalMs: 5, lostAfterMs: 60_000, onLost: assert.fail });
  const seen = new Set<string>();
  while (seen.size < 4) seen.add((await store.get(key)).bytes.toString());
  await heartbeat.stop();
  assert.deepEqual((await store.list('')).objects, []);
});

test('an owner whose heartbeats fail or hang is told once, while heartbeats continue and may succeed again', async () => {
  const { store } = await freshDirectoryStore();
  const down = new StoreUnavailable('down', true);
  for (const failure of [() => Promise.reject(down), () => new Promise<never>((_, reject) => setTimeout(() => reject(down), 150))]) {
    let failing = false;
    let succeeded = 0;
    const unreliable: ObjectStore = Object.create(store, {
      put: {
        value: async (...args: Parameters<ObjectStore['put']>) => {
          if (failing) return failure();
          succeeded++;
          return store.put(...args);
        },
      },
    });
    const lost: unknown[] = [];
    let heard = () => {};
    const told = new Promise<void>((resolve) => {
      heard = resolve;
    });
    const onLost = (error: unknown) => {
      lost.push(error);
      heard();
    };
    const heartbeat = await Heartbeat.start(unreliable, heartbeatKey(BEATS, 1), { owner: 'w', intervalMs: 2, lostAfterMs: 80, onLost });
    failing = true;
    await told;
    assert.ok(lost[0] instanceof Error);
    failing = false;
    const before = succeeded;
    while (succeeded < before + 3) await new Promise((resolve) => setTimeout(resolve, 2));
    await heartbeat.stop();
    assert.equal(lost.length, 1);
  }
});

test('two looks before and after an outage do not make a living owner stale', () => {
  let now = 0;
  const watch = new StaleWatch(1000, () => now);
  const beat = Buffer.from('beat 1');
  assert.equal(watch.observe(1, beat), 'watching');
  now = 5000;
  assert.equal(watch.observe(1, beat), 'watching', 'the owner could not reach the store either');
  now = 5600;
  assert.equal(watch.observe(1, beat), 'stale');
});
