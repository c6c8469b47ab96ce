import { after, test } from 'node:test';
import { assertMatchesFloat64, assertMatchesInHalves, values } from '../../../../test/support/webgpu-check.js';
import { closeTestDevice, type KernelRun, noWebgpu } from '../../../../test/support/webgpu-kernel.js';

after(closeTestDevice);
const skip = noWebgpu;

test('softmax_cross_entropy and its gradient are within 2e-6, for logits of any size', { skip }, async () => {
  for (const classes of [1, 3, 10, 1000])
    for (const size of [1, 30, 1e4]) {
      const n = 5;
      const attributes = { classes };
      const inputs = {
        logits: values(n * classes, 1).map((v) => v * size),
        targets: values(n * classes, 2).map((v) => Math.abs(v) / classes),
      };
      const trained: KernelRun = {
        kernel: 'softmax_cross_entropy',
        attributes,
        inputs,
        outputs: { y: n, dlogits: n * classes },
        n,
        lossScale: 0.125,
      };
      await assertMatchesFloat64(trained, 2e-6);
      await assertMatchesInHalves(trained, 2e-6);
      await assertMatchesFloat64({ kernel: 'softmax_cross_entropy', attributes, inputs, outputs: { y: n }, n }, 2e-6);
    }
});
