/** A short exploration of the group protocol finds nothing wrong, and finds every planted fault. npm run test:simulation goes further. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exploreGroups, replayGroups } from './groups/explore-groups.js';
import { groupMutants, groupOf } from './groups/report-groups.js';

for (const budget of [
  { preemptions: 0, faults: 1 },
  { preemptions: 1, faults: 0 },
]) {
  const { preemptions, faults } = budget;
  test(`two workers, ${faults} faults, ${preemptions} preemptions: one history, and no leaf is lost`, async (t) => {
    const { executions, complete, violation, claims } = await exploreGroups(groupOf(2), budget);
    assert.equal(violation?.message, undefined, violation?.choices);
    assert.ok(complete && executions > 10);
    assert.ok(claims > faults, 'a leader that is struck has a successor');
    t.diagnostic(`${executions} executions`);
  });
}

for (const { name, about, shown } of groupMutants) {
  test(`it is found when ${about}, and the choices alone show it again`, async (t) => {
    const { violation } = await exploreGroups(groupOf(shown.workers, name), shown.budget);
    assert.ok(violation, 'nothing was found');
    t.diagnostic(`${violation.choices}: ${violation.message}`);
    const { ending } = await replayGroups(groupOf(shown.workers, name), violation.choices);
    assert.equal(ending.violation?.message, violation.message);
    const healthy = await replayGroups(groupOf(shown.workers), violation.choices);
    assert.equal(healthy.ending.violation?.message, undefined, 'without the fault, the same choices are harmless');
  });
}
