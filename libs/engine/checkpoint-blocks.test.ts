import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { compile, type Precision } from './index.js';
import type { Program } from './program.js';

const classes = 5;
const samples = 6;
const draws = new PhiloxDraws(purposeKey(23n, 'checkpoint-blocks.test'));

const step = (program: Program, imageSize: number, dropout: number) =>
  program.step({
    microBatches: [
      {
        images: Float32Array.from({ length: samples * 3 * imageSize ** 2 }, (_, i) => 2 * draws.uniform(i) - 1),
        targets: Float32Array.from({ length: samples * classes }, (_, i) => (i % classes === Math.floor(i / classes) % classes ? 1 : 0)),
        samples,
        firstSample: 0,
      },
    ],
    random: { seed: 3n, step: 1, dropout, blockRates: Array.from({ length: program.blocks }, (_, k) => 0.1 * k) },
    lossScale: 1 / samples,
  });

for (const precision of ['fp32', 'bf16'] satisfies Precision[]) {
  for (const [name, imageSize, dropout] of [
    ['vit_nano_p7', 28, 0.1],
    ['mixer_nano_p7', 28, 0.1],
    ['swin_nano_p2', 28, 0.1],
    ['convnext_nano_p2', 28, 0],
  ] as const) {
    test(`${precision}: ${name} run again block by block has the same bits in less memory`, {
      skip: withoutExecutor('native'),
    }, async () => {
      const run = async (checkpointBlocks: boolean) => {
        const program = await compile(name, { imageSize, classes, batch: samples }, { precision, checkpointBlocks });
        await program.initialize(7n);
        const { losses, logits } = await step(program, imageSize, dropout);
        const gradients = (await program.readAll('gradients')).map(({ data }) => data);
        const { peakBytes } = program;
        program.dispose();
        return { losses, logits, gradients, peakBytes };
      };
      const [{ peakBytes: all, ...kept }, { peakBytes: few, ...again }] = [await run(false), await run(true)];
      assert.deepEqual(again, kept);
      assert.ok(kept.gradients.some((gradient) => gradient.some((value) => value !== 0)));
      assert.ok(few < all, `${few} bytes instead of ${all}`);
    });
  }
}
