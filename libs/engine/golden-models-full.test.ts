import { test } from 'node:test';
import { modelFamily } from '#nn/models/registry.js';
import { assertChecks } from '../../test/support/checks.js';
import { withoutKernels } from '../../test/support/executors.js';
import { fixtureJson, publicFixtures, withoutFixtures } from '../../test/support/fixtures.js';
import { compileShapes, fullChecks, modelOf, type ReducedFile } from '../../test/support/golden-model.js';

// Full-size models; TensorFlow.js on the CPU would take minutes for each. Every one there is: npm run parity.
for (const name of ['vit_tiny', 'vit_tiny+drop_path', 'vit_tiny@96', 'vit_small', 'mixer_s16@96', 'swin_femto', 'convnext_femto@96']) {
  const model = /^[^+@]+/.exec(name)![0];
  test(
    `native: ${name} has PyTorch's logits, loss and gradients`,
    {
      skip: withoutFixtures || (await withoutKernelsOf(model)),
    },
    async () => assertChecks(await fullChecks(publicFixtures, name, model, { executor: 'native', precision: 'fp32' })),
  );
}

/** The reduced model of the same family needs the same kernels. */
async function withoutKernelsOf(model: string): Promise<string | false> {
  const reduced = fixtureJson<ReducedFile>(`models/${modelFamily(model)}.json`);
  return withoutKernels('native', modelOf(reduced.config), compileShapes(reduced));
}
