import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Model, model } from '#nn/model.js';
import { linear } from '#nn/ops/linear.js';
import { patches } from '#nn/ops/patches.js';
import { takeToken } from '#nn/ops/take-token.js';
import { buildTargets } from '#nn/targets.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { fixtureJson, withoutFixtures } from '../../test/support/fixtures.js';
import { maxAbsoluteDifference } from '../../test/support/golden-model.js';
import { compile } from './compile.js';

interface LossFile {
  classes: number;
  logits: number[][];
  labels: number[];
  losses: Record<string, { smoothing?: number; lambda?: number; loss: number; gradient: number[][] }>;
}

// The first pixels of an image, unchanged, are the logits: weight is the identity. The bias then has the gradient at the logits.
const SIDE = 3;
const lookThrough = (classes: number): Model =>
  model('look-through', ({ images, param }) => linear(takeToken(patches(images, SIDE), 0), classes, param));

for (const executor of testedExecutors) {
  test(`${executor}: losses and their gradients at the logits, smoothed and mixed, at small and large logits`, {
    skip: withoutFixtures || withoutExecutor(executor),
  }, async () => {
    const file = fixtureJson<LossFile>('loss.json');
    const { classes, labels } = file;
    const program = await compile(lookThrough(classes), { imageSize: SIDE, classes, batch: 1 }, { executor });
    const width = 3 * SIDE * SIDE;
    const identity = Float32Array.from({ length: classes * width }, (_, i) => (Math.floor(i / width) === i % width ? 1 : 0));
    program.write('weights', 'weight', identity);
    for (const [name, { smoothing = 0, lambda = 1, loss, gradient }] of Object.entries(file.losses)) {
      const mix = { lambdas: labels.map(() => lambda), partnerLabels: labels.toReversed() };
      const targets = buildTargets(labels, { classes, smoothing }, mix);
      let sum = 0;
      for (const [i, logits] of file.logits.entries()) {
        const images = new Float32Array(width);
        images.set(logits);
        const batch = { images, targets: targets.subarray(i * classes, (i + 1) * classes), samples: 1, firstSample: 0 };
        const result = await program.step({ microBatches: [batch], random: { seed: 0n, step: 0 }, lossScale: 1 / labels.length });
        sum += result.loss;
        assert.ok(maxAbsoluteDifference(program.read('gradients', 'bias'), gradient[i]!) <= 1e-6, `${name}: gradient of sample ${i}`);
      }
      // Losses of up to 200 in float32: relative where they exceed 1.
      assert.ok(Math.abs(sum / labels.length / loss - 1) <= 1e-6, `${name}: ${sum / labels.length}, expected ${loss}`);
    }
    program.dispose();
  });
}
