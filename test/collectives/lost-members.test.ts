import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExchangePlan } from '#collectives/index.js';
import { contiguous } from '../support/exchange-cases.js';
import { type Member, type MemberFailure, MeshProcesses, whyNoGloo } from '../support/mesh-processes.js';

// Time-outs are far longer than the tests may take, except where they are what ends a transfer.
const skip = whyNoGloo() ?? false;
const limits = { skip, timeout: 60_000 };
const HOURS_MS = 3_600_000;
const plan = (size: number): ExchangePlan => ({ leaves: 8, held: contiguous(size, 8), elements: 3_000_000 });

/** What each member's exchanges ended with. `event` happens while all of them exchange. */
async function endings(members: readonly Member[], event: () => unknown): Promise<(MemberFailure | string)[]> {
  const all = members.map((member) => member.call('exchangeUntilItFails', plan(members.length)).catch((error: MemberFailure) => error));
  await Promise.all(members.map((member) => member.exchanging()));
  await event();
  return Promise.all(all);
}

const isFailure = (ending: MemberFailure | string | undefined): ending is MemberFailure =>
  ending instanceof Error && ending.name === 'MeshFailed';

test('a member that is killed in the middle of an exchange ends it for the others, without a time-out', limits, async (t) => {
  const processes = new MeshProcesses(t);
  for (let trial = 0; trial < 4; trial++) {
    const members = Array.from({ length: 3 }, () => processes.start());
    await processes.connect(members, { transferTimeoutMs: HOURS_MS });
    const [first, second] = await endings(members, () => members[2]?.process.kill('SIGKILL'));
    assert.ok(isFailure(first) && isFailure(second), `${first}; ${second}`);
    // One of them has seen it itself; the other one may have heard of it from that one.
    assert.ok(first.peer === 2 || second.peer === 2, `${first.peer} ${second.peer}`);
    for (const member of members.slice(0, 2)) await member.call('close');
    await processes.end();
  }
});

test('a member that is frozen ends the exchange after the time-out for transfers', limits, async (t) => {
  const processes = new MeshProcesses(t);
  const members = Array.from({ length: 3 }, () => processes.start());
  await processes.connect(members, { transferTimeoutMs: 1500 });
  const frozen = members[2]!;
  const all = members.map((member) => member.call('exchangeUntilItFails', plan(3)).catch((error: MemberFailure) => error));
  await Promise.all(members.map((member) => member.exchanging()));
  frozen.process.kill('SIGSTOP');
  const [first, second] = await Promise.all(all.slice(0, 2));
  assert.ok(isFailure(first) && isFailure(second), `${first}; ${second}`);
  assert.ok(first.peer === 2 || second.peer === 2, `${first.peer} ${second.peer}`);
  assert.match([first, second].find(({ peer }) => peer === 2)!.message, /no progress for 1500 ms/);
  frozen.process.kill('SIGCONT');
  assert.ok(isFailure(await all[2]), 'a member that wakes up finds that the others are gone');
});

test('abort ends the transfers of the member that calls it, at once, and those of the others', limits, async (t) => {
  const processes = new MeshProcesses(t);
  const members = Array.from({ length: 3 }, () => processes.start());
  await processes.connect(members, { transferTimeoutMs: HOURS_MS });
  const [first, second, third] = await endings(members, () => members[0]!.call('abort', 'a control connection has closed'));
  assert.ok(first instanceof Error && first.name === 'MeshAborted' && /a control connection has closed/.test(first.message), `${first}`);
  assert.ok(isFailure(second) && isFailure(third), `${second}; ${third}`);
  // They can be connected again.
  await Promise.all(members.map((member) => member.call('close')));
  await processes.connect(members);
  await Promise.all(members.map((member) => member.call('exchange', { ...plan(3), elements: 1000 })));
});

test('connecting ends at its time-out and names the member that never came', limits, async (t) => {
  const processes = new MeshProcesses(t);
  const members = [processes.start(), processes.start()];
  const results = await Promise.allSettled(
    members.map((member, rank) =>
      member.call('connect', { name: 'of three', rank, size: 3, connectTimeoutMs: 1000, transferTimeoutMs: HOURS_MS }),
    ),
  );
  for (const result of results) {
    assert.ok(result.status === 'rejected' && isFailure(result.reason) && result.reason.peer === 2, `${JSON.stringify(result)}`);
    assert.match(result.reason.message, /did not connect within 1000 ms/);
  }
  await processes.connect(members);
});

test('connecting ends at its time-out if a member freezes after it has left its address', limits, async (t) => {
  const processes = new MeshProcesses(t);
  const members = [processes.start(), processes.start()];
  const [first, second] = members as [Member, Member];
  const request = { name: 'frozen', size: 2, transferTimeoutMs: HOURS_MS };
  const late = second.call('connect', { ...request, rank: 1, connectTimeoutMs: 20_000 }).catch((error: MemberFailure) => error);
  await processes.hasLeft('frozen/member-1');
  second.process.kill('SIGSTOP');
  await assert.rejects(first.call('connect', { ...request, rank: 0, connectTimeoutMs: 1000 }), (error: MemberFailure) => {
    assert.ok(isFailure(error) && error.peer === 1, `${error} ${error.peer}`);
    return /did not connect within 1000 ms/.test(error.message);
  });
  // It finds that the first one has come and gone again, and goes on living.
  second.process.kill('SIGCONT');
  const ending = await late;
  assert.ok(isFailure(ending ?? undefined), `${ending}`);
  await processes.connect(members);
});
