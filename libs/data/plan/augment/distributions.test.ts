/**
 * Compares our draws with 100,000 of the reference's own code (fixtures/statistics.json), by quantiles and frequencies. Margins are those of
 * fixtures/README.md §7, for our number of draws.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type StatisticsFile, statisticsCases } from '../../../../test/parity/groups/statistics.js';
import { assertChecks } from '../../../../test/support/checks.js';
import { fixtureJson, withoutFixtures } from '../../../../test/support/fixtures.js';

const DRAWS = 50_000;
const cases = withoutFixtures ? [] : statisticsCases('statistics.json', fixtureJson<StatisticsFile>('statistics.json'), DRAWS);

test('the golden distributions of the reference exist', { skip: withoutFixtures }, () => assert.ok(cases.length > 10));
for (const one of cases) {
  if ('skip' in one) test(one.name, { skip: one.skip });
  else test(one.name, async () => assertChecks(await one.run()));
}
