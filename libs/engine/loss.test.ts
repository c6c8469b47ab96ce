import { test } from 'node:test';
import { assertChecks } from '../../test/support/checks.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { fixtureJson, publicFixtures, withoutFixtures } from '../../test/support/fixtures.js';
import { type LossFile, lossChecks } from '../../test/support/golden-loss.js';

for (const executor of testedExecutors) {
  test(`${executor}: losses and their gradients at the logits, smoothed and mixed, at small and large logits`, {
    skip: withoutFixtures || withoutExecutor(executor),
  }, async () => {
    for (const name of Object.keys(fixtureJson<LossFile>('loss.json').losses))
      assertChecks(await lossChecks(publicFixtures, name, { executor, precision: 'fp32' }), name);
  });
}
