import { test } from 'node:test';
import { assertChecks } from '../../test/support/checks.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { publicFixtures, withoutFixtures } from '../../test/support/fixtures.js';
import { fullChecks } from '../../test/support/golden-model.js';

const names = withoutFixtures ? [] : publicFixtures.files().flatMap((file) => /^models_full\/(.+)\.json$/.exec(file)?.slice(1) ?? []);

// These are full-size models; TensorFlow.js on the CPU would take minutes for each.
for (const name of names) {
  const model = /^[^+@]+/.exec(name)![0];
  test(`native: ${name} has PyTorch's logits, loss and gradients`, { skip: withoutExecutor('native') }, async () =>
    assertChecks(await fullChecks(publicFixtures, name, model, { executor: 'native', precision: 'fp32' })),
  );
}
