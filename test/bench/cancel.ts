/**
 * npm run bench:cancel: how long a step of a large model goes on after it was cancelled, at several moments of the step, and whether the
 * state stays as it was.
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { compile, type Program, StepCancelled } from '#engine/index.js';
import { engineInfo } from '#native/addon.js';
import { adamw } from '../support/adamw.js';

const usage = `npm run bench:cancel -- [options]

  --model NAME       (default vit_base)
  --batch N          images of the step (default 32)
  --precision NAME   fp32 or bf16 (default fp32)

The last line is one JSON object: for each moment of the cancel, in seconds after the step began, the milliseconds until the step had ended,
and whether weights, moments and average had the same SHA-256 as before.`;

const moments = [0.05, 0.5, 1, 2, 4];

async function hashOf(program: Program): Promise<string> {
  const hash = createHash('sha256');
  for (const state of ['weights', 'first_moment', 'second_moment', 'ema'] as const)
    for (const { data } of await program.readAll(state)) hash.update(data);
  return hash.digest('hex');
}

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'vit_base' },
    batch: { type: 'string', default: '32' },
    precision: { type: 'string', default: 'fp32' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) console.log(usage);
else {
  const batch = Number(values.batch);
  const precision = values.precision === 'bf16' ? 'bf16' : 'fp32';
  const program = await compile(values.model, { imageSize: 224, classes: 1000, batch }, { precision });
  try {
    await program.initialize(1n);
    const before = await hashOf(program);
    const images = Float32Array.from({ length: batch * program.imageFloats }, (_, i) => Math.sin(i));
    const targets = new Float32Array(batch * program.classes).map((_, i) => (i % program.classes === 0 ? 1 : 0));
    const cancels: object[] = [];
    for (const after of moments) {
      const step = program
        .step({
          microBatches: [{ images, targets, samples: batch, firstSample: 0 }],
          random: { seed: 1n, step: 0 },
          lossScale: 1 / batch,
          optimizer: adamw(1, { clip: 1, learningRate: 1e-3, weightDecay: 0.05, emaDecay: 0.999 }),
        })
        .then(
          () => 'done',
          (error) => {
            if (error instanceof StepCancelled) return 'cancelled';
            throw error;
          },
        );
      await delay(after * 1000);
      const asked = performance.now();
      program.cancel();
      const outcome = await step;
      const ms = performance.now() - asked;
      cancels.push({ after, outcome, ms: Math.round(ms * 10) / 10, unchanged: (await hashOf(program)) === before });
      console.error(JSON.stringify(cancels.at(-1)));
    }
    const { isa, threads } = engineInfo();
    console.log(JSON.stringify({ model: values.model, batch, precision, isa, threads, cancels }));
  } finally {
    program.dispose();
  }
}
