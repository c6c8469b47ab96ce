import { test } from 'node:test';
import { assertChecks } from '../../test/support/checks.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { fixtureJson, publicFixtures, withoutFixtures } from '../../test/support/fixtures.js';
import { type OptimizerFile, optimizerChecks } from '../../test/support/steered-model.js';

for (const executor of testedExecutors) {
  const skip = withoutFixtures || withoutExecutor(executor);
  test(`${executor}: every optimizer case, clipping, schedules and EMA follow PyTorch's`, { skip }, async () => {
    for (const { case: settings } of fixtureJson<OptimizerFile>('optimizer.json').cases)
      assertChecks(await optimizerChecks(publicFixtures, settings.name, { executor, precision: 'fp32' }), settings.name);
  });
}
