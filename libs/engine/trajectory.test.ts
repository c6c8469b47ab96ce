import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertChecks } from '../../test/support/checks.js';
import { mixedExecutors, testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { publicFixtures, withoutFixtures } from '../../test/support/fixtures.js';
import { trajectoryChecks } from '../../test/support/golden-trajectory.js';

const names = withoutFixtures ? [] : publicFixtures.files().flatMap((file) => /^trajectories\/(.+)\.json$/.exec(file)?.slice(1) ?? []);

test('there are trajectories to follow', { skip: withoutFixtures }, () => assert.ok(names.length > 0));

for (const name of names) {
  for (const executor of testedExecutors) {
    test(
      `${executor}: a training of ${name} with drop path, mixing, schedules and EMA follows PyTorch's`,
      {
        skip: withoutExecutor(executor),
      },
      async () => assertChecks(await trajectoryChecks(publicFixtures, name, { executor, precision: 'fp32' })),
    );
  }

  for (const executor of mixedExecutors) {
    test(
      `${executor}: in bf16 it follows ${name} within the tolerances of mixed precision`,
      {
        skip: withoutExecutor(executor),
      },
      async () => assertChecks(await trajectoryChecks(publicFixtures, name, { executor, precision: 'bf16' })),
    );
  }
}
