import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { InvalidArgument, NotFound } from '#errors/errors.js';
import { silentLogger } from '#telemetry/logger.js';
import { GroupDoors } from './doors.js';
import { createGroupMetrics } from './group-metrics.js';
import type { Participant } from './participant.js';
import { Rendezvous } from './rendezvous.js';
import { Roster } from './roster.js';

test('a worker joins the run that it names, and not that of another project whose uid it knows', () => {
  const leader = { worker: 'leader' } as Participant;
  const roster = new Roster({
    leader,
    least: 1,
    most: 3,
    onSize: () => {},
    metrics: createGroupMetrics(new Registry()),
    logger: silentLogger(),
  });
  const doors = new GroupDoors(1000);
  const run = 'projects/a/runs/r';
  const shut = doors.open({ run, uid: 'u', fence: 4, fingerprint: 'f', roster, rendezvous: new Rendezvous() });
  const knock = { run, uid: 'u', fence: 4, worker: 'w', fingerprint: 'f', step: undefined };
  assert.throws(() => doors.enter({ ...knock, run: 'projects/b/runs/r' }), NotFound);
  assert.throws(() => doors.enter({ ...knock, fence: 3 }), NotFound);
  assert.throws(() => doors.enter({ ...knock, worker: 'w'.repeat(301) }), InvalidArgument);
  assert.equal(roster.size, 1);
  const member = doors.enter(knock);
  assert.equal(doors.memberOf(member.id).member, member);
  assert.equal(roster.size, 2);
  shut();
  assert.throws(() => doors.enter(knock), NotFound);
  roster.close('the test ends');
  assert.throws(() => doors.memberOf(member.id), NotFound);
});
