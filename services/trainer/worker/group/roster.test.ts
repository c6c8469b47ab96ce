import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { silentLogger } from '#telemetry/logger.js';
import { createGroupMetrics } from './group-metrics.js';
import type { Participant } from './participant.js';
import { RemoteParticipant } from './remote-participant.js';
import { Roster } from './roster.js';

function rosterOf(least: number, ...names: readonly string[]) {
  const leader = { worker: 'leader' } as Participant;
  const metrics = createGroupMetrics(new Registry());
  const roster = new Roster({ leader, least, most: 9, onSize: () => {}, metrics, logger: silentLogger() });
  const members = names.map((name) => new RemoteParticipant(name, 60_000));
  for (const member of members) roster.admit(member);
  roster.settle();
  return { roster, members, namesOf: () => roster.members.map(({ worker }) => worker) };
}

test('members that leave for other work go at the end of a step, but not below the number that the run needs', () => {
  const { roster, members, namesOf } = rosterOf(3, 'a', 'b', 'c');
  for (const member of members) member.leave(true);
  roster.settle();
  assert.deepEqual(namesOf(), ['leader', 'b', 'c']);
  const newcomer = new RemoteParticipant('d', 60_000);
  roster.admit(newcomer);
  roster.settle();
  assert.deepEqual(namesOf(), ['leader', 'c', 'd']);
  roster.close('the test ends');
});

test('members whose processes stop go however few are left', () => {
  const { roster, members, namesOf } = rosterOf(3, 'a', 'b');
  members[0]!.leave();
  roster.settle();
  assert.deepEqual(namesOf(), ['leader', 'b']);
  roster.close('the test ends');
});

test('nothing is kept of those that have waited for a change in vain', async () => {
  const { roster } = rosterOf(1, 'a');
  for (let k = 0; k < 3; k++) await roster.change({ withinMs: 1 });
  const stopped = new AbortController();
  const waits = roster.change({ withinMs: 60_000, signal: stopped.signal });
  assert.equal(roster.waiting, 1);
  stopped.abort(new Error('stopped'));
  await assert.rejects(waits, /stopped/);
  await assert.rejects(roster.change({ withinMs: 60_000, signal: stopped.signal }), /stopped/);
  assert.equal(roster.waiting, 0);
  const woken = Promise.all([roster.change({ withinMs: 60_000 }), roster.change({ withinMs: 60_000 })]);
  roster.wake();
  await woken;
  assert.equal(roster.waiting, 0);
  roster.close('the test ends');
});
