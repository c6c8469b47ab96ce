import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { heartbeatKey } from '#storage/lease.js';
import { freshDirectoryStore } from '../../../../test/support/fresh-store.js';
import { isRefused, leaderState } from './leader-watch.js';

const { store } = await freshDirectoryStore();
const { signal } = new AbortController();

/** Takes connections and says nothing: a leader that is frozen, or whose messages are cut off. */
async function silentLeader(t: TestContext): Promise<string> {
  const server = createServer(() => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const watched = (heartbeatPrefix: string, address: string, ttlMs: number) => ({
  ...{ store, heartbeatPrefix, fence: 3, address, ttlMs, signal },
});

test('a leader whose process has ended is gone at once, whatever its heartbeats were', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  server.close();
  await once(server, 'close');
  assert.ok(await isRefused(address, signal));
  assert.equal(await leaderState(watched('ended', address, 600_000)), 'gone');
  assert.ok(!(await isRefused(await silentLeader(t), signal)));
});

test('a leader that cannot be reached and writes heartbeats is alive', async (t) => {
  const address = await silentLeader(t);
  let beating = true;
  const beats = (async () => {
    for (let beat = 0; beating; beat++) {
      await store.put(heartbeatKey('cut', 3), Buffer.from(`${beat}`));
      await delay(20);
    }
  })();
  assert.equal(await leaderState(watched('cut', address, 600_000)), 'alive');
  beating = false;
  await beats;
});

test('a leader that writes no heartbeat for a TTL is gone', async (t) => {
  const address = await silentLeader(t);
  await store.put(heartbeatKey('frozen', 3), Buffer.from('1'));
  assert.equal(await leaderState(watched('frozen', address, 200)), 'gone');
});
