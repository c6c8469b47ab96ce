/** Mixed precision is the native engine's: the same values are rounded, at the same places. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { adamw } from '../../../test/support/adamw.js';
import { assertChecks, type Check } from '../../../test/support/checks.js';
import { withoutExecutor } from '../../../test/support/executors.js';
import { norm } from '../../../test/support/golden-model.js';
import { type CompileOptions, compile } from '../index.js';
import type { Program, StepRequest } from '../program.js';

const skip = withoutExecutor('webgpu') || withoutExecutor('native');
const [classes, samples] = [10, 6];
const draws = new PhiloxDraws(purposeKey(43n, 'webgpu/bf16.test'));

/** With sides of which the third gives the Mixer an odd number of tokens: rows of an odd number of bf16. */
const cases = [
  ['vit_nano_p7', 28],
  ['mixer_nano_p7', 28],
  ['mixer_nano_p7', 21],
  ['swin_nano_p2', 28],
  ['convnext_nano_p2', 28],
] as const;

function stepOf(imageSize: number, blocks: number, dropout: number): StepRequest {
  const images = Float32Array.from({ length: samples * 3 * imageSize ** 2 }, (_, i) => 3.4 * draws.uniform(i) - 1.7);
  const targets = Float32Array.from(
    { length: samples * classes },
    (_, i) => (i % classes === Math.floor(i / classes) % 3 ? 0.9 : 0) + 0.1 / classes,
  );
  return {
    microBatches: [{ images, targets, samples, firstSample: 0 }],
    random: { seed: 9n, step: 1, dropout, blockRates: Array.from({ length: blocks }, (_, k) => 0.1 * k) },
    lossScale: 1 / samples,
  };
}

/** Weights after a few steps, in which layer scales and the head have left their initial values. */
async function trained(name: string, imageSize: number) {
  const program = await compile(name, { imageSize, classes, batch: samples });
  await program.initialize(13n);
  const scalars = { clip: 0, learningRate: 1e-3, weightDecay: 0.05, emaDecay: -1 };
  for (let t = 0; t < 10; t++) {
    await program.step({ ...stepOf(imageSize, program.blocks, 0), optimizer: adamw(t + 1, scalars) });
  }
  const state = await program.exportState({ ema: false });
  program.dispose();
  return state;
}

interface Result {
  logits: Float32Array;
  losses: Float32Array;
  gradients: { name: string; data: Float32Array }[];
  bytes: number;
}

async function results(program: Program, imageSize: number, dropout: number): Promise<Result> {
  const { logits, losses } = await program.step(stepOf(imageSize, program.blocks, dropout));
  const gradients = await program.readAll('gradients');
  return { logits, losses, gradients, bytes: program.peakBytes };
}

for (const [name, imageSize] of cases) {
  test(`${name} at ${imageSize} px in bf16 has the native engine's logits, losses and gradients, in less memory than fp32; blocks run again change no bit`, {
    skip,
  }, async () => {
    const state = await trained(name, imageSize);
    const dropout = name === 'convnext_nano_p2' ? 0 : 0.1;
    const run = async (options: CompileOptions) => {
      const program = await compile(name, { imageSize, classes, batch: samples }, options);
      await program.importState(state);
      const result = await results(program, imageSize, dropout);
      program.dispose();
      return result;
    };
    const wanted = await run({ executor: 'native', precision: 'bf16' });
    const found = await run({ executor: 'webgpu', precision: 'bf16' });
    const whole = await run({ executor: 'webgpu' });
    assertChecks([
      { what: 'logits, relative L2', error: relative(found.logits, wanted.logits), tolerance: 1e-2 },
      { what: 'losses, relative L2', error: relative(found.losses, wanted.losses), tolerance: 5e-3 },
      ...gradientChecks(found, wanted),
    ]);
    assert.ok(found.bytes < whole.bytes);
    const { bytes, ...again } = await run({ executor: 'webgpu', precision: 'bf16', checkpointBlocks: true });
    assert.ok(bytes < found.bytes);
    assert.deepEqual(again, { logits: found.logits, losses: found.losses, gradients: found.gradients });
  });
}

/** Gradients that are zero in exact arithmetic: the next norm removes what the Mixer's token MLP adds equally to all channels of a token. */
const vanishing = /mlp_tokens\.fc2\.bias$/;

function gradientChecks(found: Result, wanted: Result): Check[] {
  return wanted.gradients.flatMap(({ name, data }, k) => {
    if (vanishing.test(name)) return [];
    return [{ what: `gradient of ${name}, relative L2`, error: relative(found.gradients[k]!.data, data), tolerance: 3e-2 }];
  });
}

function relative(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  const off = norm(Float64Array.from(wanted, (value, i) => found[i]! - value));
  return off === 0 ? 0 : off / norm(wanted);
}
