import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { abilitiesOf } from './engines.js';
import { compile } from './index.js';

const [imageSize, classes, samples] = [28, 10, 7];
const draws = new PhiloxDraws(purposeKey(51n, 'evaluate-only.test'));
const batch = {
  images: Float32Array.from({ length: samples * 3 * imageSize ** 2 }, (_, i) => 2 * draws.uniform(i) - 1),
  targets: Float32Array.from({ length: samples * classes }, (_, i) => (i % classes === Math.floor(i / classes) ? 1 : 0)),
  samples,
};

for (const precision of abilitiesOf('native').precisions) {
  for (const name of ['vit_nano_p7', 'mixer_nano_p7', 'swin_nano_p2', 'convnext_nano_p2']) {
    test(`${precision}: ${name} compiled for evaluation has the bits of the program that trains, in less memory`, {
      skip: withoutExecutor('native'),
    }, async () => {
      const run = async (evaluateOnly: boolean) => {
        const program = await compile(name, { imageSize, classes, batch: samples }, { precision, evaluateOnly });
        await program.initialize(3n);
        for (const { name, shape } of program.parameters) {
          if (shape.length === 1) continue;
          const weights = await program.read('weights', name);
          const values = weights.map((_, i) => 0.2 * draws.uniform(i) - 0.1); // the Mixer's head is 0
          await program.write('weights', name, values);
        }
        const { peakBytes } = program;
        const [weights, ema] = [await program.evaluate(batch), await program.evaluate(batch, 'ema')];
        const step = { microBatches: [{ ...batch, firstSample: 0 }], random: { seed: 0n, step: 0 }, lossScale: 1 };
        if (evaluateOnly) await assert.rejects(program.step(step), /compiled with evaluateOnly/);
        program.dispose();
        return { results: [weights, ema], peakBytes };
      };
      const [whole, alone] = [await run(false), await run(true)];
      assert.deepEqual(alone.results, whole.results);
      assert.notDeepEqual(whole.results[0], whole.results[1]);
      assert.ok(alone.peakBytes < whole.peakBytes, `${alone.peakBytes} of ${whole.peakBytes}`);
    });
  }
}
