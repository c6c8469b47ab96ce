// The reference's own return values (../shared/fixtures/README.md §4): relative 1e-12, block rates 1e-7.
import { test } from 'node:test';
import { blockRateTable, schedules } from '../../test/parity/groups/schedules.js';
import { assertPublic } from '../../test/parity/public-cases.js';
import { withoutFixtures } from '../../test/support/fixtures.js';

const of = (name: string) => (text: string) => text.startsWith(`schedules/${name} `);
const failing = (text: string) => text.includes(' fails there: ');

for (const name of ['drop_rate', 'learning_rate', 'weight_decay']) {
  test(`${name}: every value of the reference`, { skip: withoutFixtures }, async () => {
    await assertPublic(schedules, (text) => of(name)(text) && !failing(text));
  });
}

for (const name of ['drop_rate', 'learning_rate']) {
  test(`${name}: what the reference fails on is refused, or done right where only the reference cannot`, {
    skip: withoutFixtures,
  }, async () => {
    await assertPublic(schedules, (text) => of(name)(text) && failing(text));
  });
}

test('block rates', { skip: withoutFixtures }, async () => {
  await assertPublic(blockRateTable);
});
