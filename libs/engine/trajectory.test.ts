import { test } from 'node:test';
import { assertChecks } from '../../test/support/checks.js';
import { testedExecutors, withoutKernels } from '../../test/support/executors.js';
import { fixtureJson, publicFixtures, withoutFixtures } from '../../test/support/fixtures.js';
import { compileShapes, type FamilyConfig, modelOf } from '../../test/support/golden-model.js';
import { trajectoryChecks } from '../../test/support/golden-trajectory.js';

const names = withoutFixtures ? [] : publicFixtures.files().flatMap((file) => /^trajectories\/(.+)\.json$/.exec(file)?.slice(1) ?? []);

for (const name of names) {
  const file = fixtureJson<{ config: FamilyConfig; batch: number }>(`trajectories/${name}.json`);
  for (const executor of testedExecutors) {
    test(
      `${executor}: a training of ${name} with drop path, mixing, schedules and EMA follows PyTorch's`,
      {
        skip: await withoutKernels(executor, modelOf(file.config), compileShapes(file)),
      },
      async () => assertChecks(await trajectoryChecks(publicFixtures, name, { executor, precision: 'fp32' })),
    );
  }
}
