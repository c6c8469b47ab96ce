import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { heartbeatKey } from '#storage/lease.js';
import { LogDamaged } from '#storage/log-record.js';
import { freshDirectoryStore } from '../../../../test/support/fresh-store.js';
import { notedStore } from '../../../../test/support/noted-store.js';
import { freePort } from '../../../../test/support/tool.js';
import { isRefused, type LeaderWatchOptions, leaderState } from './leader-watch.js';

const { store } = await freshDirectoryStore();
const { signal } = new AbortController();

/** Takes connections and says nothing: a leader that is frozen, or whose messages are cut off. */
async function silentLeader(t: TestContext): Promise<string> {
  const server = createServer(() => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Where a process listened that has ended. */
const endedLeader = async (): Promise<string> => `127.0.0.1:${await freePort()}`;

const watched = (heartbeatPrefix: string, address: string, ttlMs: number, part: Partial<LeaderWatchOptions> = {}) => ({
  ...{ store, heartbeatPrefix, fence: 3, address, ttlMs, signal, claim: async () => ({ fence: 3, sequence: 7 }) },
  ...part,
});

/** The heartbeats of a leader that offers to be joined there. */
async function beat(prefix: string, address: string, number = 1): Promise<void> {
  const heartbeat = { owner: 'leader', beat: number, group: { address, members: 2, wants: 1 } };
  await store.put(heartbeatKey(prefix, 3), Buffer.from(JSON.stringify(heartbeat)));
}

test('a leader whose process has ended is gone soon, although its heartbeat is fresh', async (t) => {
  const address = await endedLeader();
  assert.ok(await isRefused(address, signal));
  await beat('ended', address);
  assert.equal(await leaderState(watched('ended', address, 600_000)), 'gone');
  assert.ok(!(await isRefused(await silentLeader(t), signal)));
});

test('a leader whose address refuses, and that shows life in the store, is alive: the network may have restarted', async () => {
  const address = await endedLeader();
  await beat('restarted', address);
  const beats = delay(150).then(() => beat('restarted', address, 2));
  assert.equal(await leaderState(watched('restarted', address, 600_000)), 'alive');
  await beats;
  let sequence = 7;
  const claim = async () => ({ fence: 3, sequence: sequence++ });
  assert.equal(await leaderState(watched('restarted', address, 600_000, { claim })), 'alive');
});

test('an address that is not that of the owner tells nothing by its refusal', async (t) => {
  await beat('elsewhere', await silentLeader(t));
  const begun = performance.now();
  assert.equal(await leaderState(watched('elsewhere', await endedLeader(), 2000)), 'gone');
  assert.ok(performance.now() - begun >= 2000, 'not before a whole TTL');
});

test('a leader that the log has replaced is gone', async (t) => {
  const address = await silentLeader(t);
  await beat('replaced', address);
  for (const claim of [async () => ({ fence: 9, sequence: 9 }), async () => undefined])
    assert.equal(await leaderState(watched('replaced', address, 600_000, { claim })), 'gone');
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

test('a log that cannot be read keeps nobody from finding out by heartbeats and refusals whether the leader is gone', {
  timeout: 20_000,
}, async (t) => {
  const claim = () => Promise.reject(new LogDamaged('run/log/7', 'no record'));
  const address = await silentLeader(t);
  await beat('damaged-silent', address);
  assert.equal(await leaderState(watched('damaged-silent', address, 200, { claim })), 'gone');
  const ended = await endedLeader();
  await beat('damaged-ended', ended);
  assert.equal(await leaderState(watched('damaged-ended', ended, 600_000, { claim })), 'gone');
  await beat('damaged-alive', address);
  const beats = delay(150).then(() => beat('damaged-alive', address, 2));
  assert.equal(await leaderState(watched('damaged-alive', address, 600_000, { claim })), 'alive');
  await beats;
});

test('a member that waits for a silent leader asks the store a limited number of times in a TTL', async (t) => {
  const address = await silentLeader(t);
  await beat('asked', address);
  const noted = notedStore(store);
  let reads = 0;
  const claim = async () => ({ fence: 3, sequence: 7 * Math.sign(++reads) });
  assert.equal(await leaderState(watched('asked', address, 4000, { store: noted.store, claim })), 'gone');
  // In the first half second every 50 ms, and then 20 times, of which 2 or 3 read the log.
  assert.ok(noted.count(/^get asked/) <= 11 + 20, `${noted.count(/^get asked/)} heartbeats`);
  assert.ok(reads <= 11 + 3, `${reads} reads of the log`);
});

test('a claim of another worker is seen although the old heartbeat stays, and before its removal looks like life', async (t) => {
  const address = await silentLeader(t);
  await Promise.all(['stays', 'removed'].map((prefix) => beat(prefix, address)));
  /** The log of a run that another worker claims a second later. */
  const claimedLater = () => {
    const begun = performance.now();
    const log = {
      isSeen: false,
      claim: async () => ({ fence: log.look() ? 9 : 3, sequence: 7 }),
      look: () => (log.isSeen = performance.now() - begun > 1000),
    };
    return log;
  };
  const stays = claimedLater();
  assert.equal(await leaderState(watched('stays', address, 3000, stays)), 'gone');
  assert.ok(stays.isSeen, 'the log was read within the TTL');
  const removal = delay(1000).then(() => store.delete(heartbeatKey('removed', 3)));
  assert.equal(await leaderState(watched('removed', address, 4000, claimedLater())), 'gone');
  await removal;
});
