/**
 * A program of its own, for tests that need another environment: trains a model of each family for as many steps as the first argument says
 * in the precision of the second, and prints {threads, bits: SHA-256 of all state and losses}.
 */
import { createHash } from 'node:crypto';
import { compile, type Precision, type Program } from '#engine/index.js';
import { engineInfo } from '#native/addon.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { adamw } from './adamw.js';

const [steps, precision] = [Number(process.argv[2]), process.argv[3] as Precision];
const samples = steps > 10 ? 8 : 24;
const hash = createHash('sha256');
const add = (values: Float32Array) => hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
for (const model of ['vit_nano_p7', 'mixer_nano_p7', 'swin_nano_p2', 'convnext_nano_p2']) {
  const program = await compile(model, { imageSize: 28, classes: 10, batch: samples }, { precision });
  await train(program, model === 'convnext_nano_p2' ? 0 : 0.1);
  for (const tensors of Object.values(await program.exportState({ ema: true }))) for (const { data } of tensors) add(data);
  program.dispose();
}
console.log(JSON.stringify({ threads: engineInfo().threads, bits: hash.digest('hex') }));

async function train(program: Program, dropout: number): Promise<void> {
  await program.initialize(1n);
  for (let step = 0; step < steps; step++) {
    const draws = new PhiloxDraws(purposeKey(BigInt(step), 'images'));
    const result = await program.step({
      microBatches: [
        {
          images: Float32Array.from({ length: samples * 3 * 28 * 28 }, (_, i) => 2 * draws.uniform(i) - 1),
          targets: Float32Array.from({ length: samples * 10 }, (_, i) => (i % 10 === Math.floor(i / 10) % 10 ? 1 : 0)),
          samples,
          firstSample: 0,
        },
      ],
      random: { seed: 5n, step, dropout, blockRates: [0, 0.1, 0.2, 0.3] },
      lossScale: 1 / samples,
      optimizer: adamw(step + 1, { clip: 1, learningRate: 1e-3, weightDecay: 0.05, emaDecay: 0.99 }),
    });
    add(result.losses);
  }
}
