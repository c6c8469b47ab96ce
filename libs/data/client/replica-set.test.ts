import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { resolveAddresses } from './replica-discovery.js';
import { FIRST_EXCLUSION_MS, LONGEST_EXCLUSION_MS, type Replica, ReplicaSet } from './replica-set.js';

const sets: ReplicaSet[] = [];
after(() => {
  for (const set of sets) set.close();
});
function setOf(...addresses: string[]): ReplicaSet {
  const set = new ReplicaSet(addresses);
  sets.push(set);
  return set;
}
const none = new Set<string>();
const chosen = (set: ReplicaSet, now: number, refused: ReadonlySet<string> = none) =>
  set.choose(refused, now) as { replica: Replica; waitMs: number };

test('calls go to the replica with the fewest in flight, in turn among equals', () => {
  const set = setOf('a:1', 'b:1', 'c:1');
  const counts = new Map<string, number>();
  for (let i = 0; i < 9; i++) {
    const { replica } = chosen(set, 0);
    set.begin(replica);
    counts.set(replica.address, (counts.get(replica.address) ?? 0) + 1);
  }
  assert.deepEqual([...counts.values()], [3, 3, 3]);
});

test('a failing replica is excluded for a time that doubles, and then tried again', () => {
  const set = setOf('a:1', 'b:1');
  const { replica } = chosen(set, 0);
  let now = 0;
  for (let failure = 0; failure < 8; failure++) {
    set.begin(replica);
    set.failed(replica, 0, now);
    const exclusion = Math.min(LONGEST_EXCLUSION_MS, FIRST_EXCLUSION_MS * 2 ** failure);
    for (const at of [now, now + exclusion - 1]) for (let i = 0; i < 3; i++) assert.notEqual(chosen(set, at).replica, replica);
    now += exclusion;
  }
  set.begin(replica);
  set.succeeded(replica);
  assert.ok([0, 1].some(() => chosen(set, 0).replica === replica));
});

test('calls that fail together count once; a server’s own delay is kept', () => {
  const set = setOf('a:1');
  const { replica } = chosen(set, 0);
  for (let i = 0; i < 4; i++) set.begin(replica);
  for (let i = 0; i < 4; i++) set.failed(replica, 0, 1000);
  assert.ok(chosen(set, 1000).waitMs <= 2 * FIRST_EXCLUSION_MS);
  set.begin(replica);
  set.failed(replica, 5000, 2000);
  assert.equal(chosen(set, 2000).waitMs, 5000);
});

test('if all replicas are excluded, the first to return is chosen with its wait; if all refuse, none is', () => {
  const set = setOf('a:1', 'b:1');
  const [first, second] = [chosen(set, 0).replica, chosen(set, 0).replica];
  for (const [replica, retryAfter] of [
    [first, 900],
    [second, 400],
  ] as const) {
    set.begin(replica);
    set.failed(replica, retryAfter, 0);
  }
  assert.deepEqual([chosen(set, 100).replica, chosen(set, 100).waitMs], [second, 300]);
  assert.equal(chosen(set, 100, new Set([second.address])).replica, first);
  assert.equal(set.choose(new Set(set.addresses), 100), undefined);
  assert.throws(() => new ReplicaSet([]), RangeError);
});

test('added replicas are chosen; removed ones only finish their calls', () => {
  const set = new ReplicaSet(['a:1', 'b:1']);
  const first = set.choose(new Set())!.replica;
  set.begin(first);
  set.update(['b:1', 'c:1'].filter((address) => address !== first.address).concat('d:1'));
  assert.equal(set.addresses.includes(first.address), false);
  const chosen = new Set<string>();
  for (let i = 0; i < 20; i++) chosen.add(set.choose(new Set())!.replica.address);
  assert.deepEqual([...chosen].sort(), [...set.addresses].sort());
  // Whether its call succeeds or fails, nothing of the replica is left.
  set.failed(first);
  set.update([]); // nothing found is no reason to leave all
  assert.equal(set.size, set.addresses.length);
  assert.ok(set.size > 0);
  set.close();
});

test('a DNS name stands for all of its addresses', async () => {
  assert.deepEqual(await resolveAddresses(['127.0.0.9:7', 'dns:///127.0.0.1:7011', 'dns:///127.0.0.1:7011']), [
    '127.0.0.1:7011',
    '127.0.0.9:7',
  ]);
  await assert.rejects(resolveAddresses(['dns:///no-such-name.invalid:1']));
});
