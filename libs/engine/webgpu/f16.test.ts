/** Precision f16: matrix products of f16 with fp32 sums, and losses that are scaled so that gradients stay within its range. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trace } from '#graph/trace.js';
import { modelConfig } from '#nn/models/registry.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { adamw } from '../../../test/support/adamw.js';
import { assertChecks, type Check } from '../../../test/support/checks.js';
import { withoutExecutor } from '../../../test/support/executors.js';
import { runFloat64 } from '../../../test/support/float64-program.js';
import { norm } from '../../../test/support/golden-model.js';
import { smallTraining } from '../../../test/support/small-training.js';
import { noF16 } from '../../../test/support/webgpu-kernel.js';
import { compile } from '../compile.js';
import { lower } from '../native/lower.js';
import type { Program, StepRequest } from '../program.js';

const skip = withoutExecutor('webgpu') || noF16;
const [classes, samples, seed] = [10, 4, 9n];
const draws = new PhiloxDraws(purposeKey(47n, 'webgpu/f16.test'));

/** The third has rows of an odd number of f16. */
const cases = [
  ['vit_nano_p7', 28],
  ['mixer_nano_p7', 28],
  ['mixer_nano_p7', 21],
  ['swin_nano_p2', 28],
  ['convnext_nano_p2', 28],
] as const;

function stepOf(imageSize: number): Omit<StepRequest, 'optimizer'> {
  const images = Float32Array.from({ length: samples * 3 * imageSize ** 2 }, (_, i) => 3.4 * draws.uniform(i) - 1.7);
  const targets = Float32Array.from(
    { length: samples * classes },
    (_, i) => (i % classes === Math.floor(i / classes) % 3 ? 0.9 : 0) + 0.1 / classes,
  );
  return { microBatches: [{ images, targets, samples, firstSample: 0 }], random: { seed, step: 0 }, lossScale: 1 / samples };
}

const compiled = (name: string, imageSize: number, precision: 'fp32' | 'f16' = 'f16'): Promise<Program> =>
  compile(name, { imageSize, classes, batch: samples }, { executor: 'webgpu', precision });

const relative = (found: ArrayLike<number>, wanted: ArrayLike<number>): number =>
  norm(Float64Array.from(wanted, (value, i) => found[i]! - value)) / norm(wanted);

/** A step that only moves weights. */
const sgd = { ...adamw(1, { clip: 0, learningRate: 0.5, weightDecay: 0, emaDecay: 0.75 }), kind: 'sgd' as const };

for (const [name, imageSize] of cases) {
  test(`${name} at ${imageSize} px in f16 has the logits, losses and gradients of float64 with the same roundings, whatever the scale`, {
    skip,
    timeout: 240_000,
  }, async () => {
    const program = await compiled(name, imageSize);
    await program.initialize(seed);
    // Some heads begin at zero, and would let no gradient through.
    const head = await program.read('weights', 'head.weight');
    await program.write(
      'weights',
      'head.weight',
      head.map((_, i) => 0.2 * draws.uniform(i) - 0.1),
    );
    const request = stepOf(imageSize);
    const parameters = (await program.readAll('weights')).map(({ data }) => data);
    const graph = trace(modelConfig(name, { imageSize, classes }), { channels: 3, imageSize, classes });
    const spec = lower(graph, program.chunkSamples, { precision: 'f16' });
    const rates = { siteRates: new Float64Array(graph.sites.length), pathRates: new Float64Array(graph.paths.length) };
    const scale = 1024;
    const exact = runFloat64(spec, parameters, request.microBatches, { seed, step: 0, ...rates }, request.lossScale * scale);
    const { logits, losses, gradNorm, skipped } = await program.step({ ...request, gradientScale: scale, optimizer: sgd });
    assert.equal(skipped, false);
    const gradients = await program.readAll('gradients');
    const all = (of: readonly ArrayLike<number>[]) => of.flatMap((one) => Array.from(one));
    const checks: Check[] = [
      { what: 'logits, relative L2', error: relative(logits, exact.logits), tolerance: 1e-3 },
      { what: 'losses, relative L2', error: relative(losses, exact.losses), tolerance: 1e-3 },
      { what: 'gradients, relative L2', error: relative(all(gradients.map(({ data }) => data)), all(exact.gradients)), tolerance: 2e-3 },
      { what: 'norm', error: Math.abs(gradNorm / (norm(all(exact.gradients)) / scale) - 1), tolerance: 1e-3 },
    ];
    assertChecks(checks);
    // The update divides by the scale.
    for (const [k, { data, name: parameter }] of (await program.readAll('weights')).entries()) {
      const gradient = gradients[k]!.data;
      const off = data.reduce((most, value, i) => Math.max(most, Math.abs(parameters[k]![i]! - (0.5 / scale) * gradient[i]! - value)), 0);
      assert.ok(off <= 1e-6, `${parameter} is off by ${off}`);
    }
    program.dispose();
  });
}

test('a step whose gradient overflows changes neither weights nor moments, and the next one with a smaller scale does', {
  skip,
  timeout: 120_000,
}, async () => {
  const program = await compiled('vit_nano_p7', 28);
  await program.initialize(seed);
  const request = stepOf(28);
  const optimizer = adamw(1, { clip: 1, learningRate: 0.1, weightDecay: 0.05, emaDecay: 0.75 });
  await program.step({ ...request, gradientScale: 1024, optimizer });
  const before = await program.exportState({ ema: true });
  const overflown = await program.step({ ...request, gradientScale: 2 ** 100, optimizer });
  assert.equal(overflown.skipped, true);
  assert.ok(!Number.isFinite(overflown.gradNorm) && Number.isFinite(overflown.loss));
  const { ema, ...rest } = await program.exportState({ ema: true });
  const { ema: emaBefore, ...wanted } = before;
  assert.deepEqual(rest, wanted);
  for (const [k, { data }] of ema!.entries())
    for (const [i, value] of data.entries()) {
      const mean = 0.75 * emaBefore![k]!.data[i]! + 0.25 * wanted.weights[k]!.data[i]!;
      assert.ok(Math.abs(value - mean) <= 1e-6 * Math.max(1, Math.abs(mean)));
    }
  const after = await program.step({ ...request, gradientScale: 1024, optimizer: { ...optimizer, step: 2 } });
  assert.equal(after.skipped, false);
  assert.notDeepEqual(await program.exportState({ ema: true }), before);
  program.dispose();
});

test('f16 takes less memory than fp32; a scale that is no power of two, or for another precision, is refused', { skip }, async () => {
  const program = await compiled('vit_nano_p7', 28);
  const whole = await compiled('vit_nano_p7', 28, 'fp32');
  assert.ok(program.peakBytes < whole.peakBytes);
  const request = stepOf(28);
  await assert.rejects(
    program.step({ ...request, gradientScale: 1000, optimizer: sgd }),
    /^RangeError: gradientScale: 1000 is not a power of two$/,
  );
  await assert.rejects(
    whole.step({ ...request, gradientScale: 1024, optimizer: sgd }),
    /^RangeError: gradientScale: only for precision f16, not fp32$/,
  );
  program.dispose();
  whole.dispose();
});

test('40 steps of a small ViT in f16 have the losses of fp32 within 3e-2, and equal bits when they are repeated', { skip }, async () => {
  const steps = 40;
  const options = { precision: 'f16', gradientScale: 65536 } as const;
  const whole = await smallTraining('native', steps);
  const half = await smallTraining('webgpu', steps, options);
  const worst = half.losses.reduce((most, loss, step) => Math.max(most, Math.abs(loss - whole.losses[step]!)), 0);
  assert.ok(worst <= 3e-2, `off by ${worst}`);
  const [first, again] = [await smallTraining('webgpu', 12, options), await smallTraining('webgpu', 12, options)];
  assert.deepEqual(again, first);
});
