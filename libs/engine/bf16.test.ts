import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { adamw } from '../../test/support/adamw.js';
import { assertChecks, type Check } from '../../test/support/checks.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { norm } from '../../test/support/golden-model.js';
import { compile, type Precision } from './index.js';
import type { Program } from './program.js';

// Initial weights, because the golden values have layer scales of about 0.5 and weights of one magnitude, while these have 1e-6 and zeros.
const [imageSize, classes, samples] = [28, 10, 12];
const families = ['vit_nano_p7', 'mixer_nano_p7', 'swin_nano_p2', 'convnext_nano_p2'] as const;

const draws = new PhiloxDraws(purposeKey(41n, 'bf16.test'));
// Three of ten classes: over all ten alike, the contributions of samples to a bias's gradient would cancel and leave little but rounding errors.
const batch = {
  images: Float32Array.from({ length: samples * 3 * imageSize ** 2 }, (_, i) => 3.4 * draws.uniform(i) - 1.7),
  targets: Float32Array.from(
    { length: samples * classes },
    (_, i) => (i % classes === Math.floor(i / classes) % 3 ? 0.9 : 0) + 0.1 / classes,
  ),
  samples,
  firstSample: 0,
};
const scalars = { clip: 0, learningRate: 1e-3, weightDecay: 0.05, emaDecay: -1 };
const step = (program: Program, t: number, learn: boolean) =>
  program.step({
    microBatches: [batch],
    random: { seed: 9n, step: t, blockRates: Array.from({ length: program.blocks }, (_, k) => 0.1 * k) },
    lossScale: 1 / samples,
    ...(learn && { optimizer: adamw(t + 1, scalars) }),
  });

/** Gradients that are zero in exact arithmetic: the next norm removes what the Mixer's token MLP adds equally to all channels of a token. */
const vanishing = /mlp_tokens\.fc2\.bias$/;

for (const name of families) {
  test(`${name}: losses, logits and the gradient of every parameter in bf16 follow fp32, at the start and after some steps`, {
    skip: withoutExecutor('native'),
  }, async () => {
    const [whole, half] = await Promise.all(
      (['fp32', 'bf16'] satisfies Precision[]).map((precision) => compile(name, { imageSize, classes, batch: samples }, { precision })),
    );
    assert.ok(whole && half);
    await whole.initialize(13n);
    let t = 0;
    for (const learning of [0, 10]) {
      for (const end = t + learning; t < end; t++) await step(whole, t, true);
      await half.importState(await whole.exportState({ ema: false }));
      const [wanted, found] = [await step(whole, t, false), await step(half, t, false)];
      assertChecks([...resultChecks(wanted, found), ...(await gradientChecks(whole, half))], `after ${t} steps`);
    }
    assert.equal(half.fingerprint.precision, 'bf16');
    assert.ok(half.peakBytes < whole.peakBytes);
    for (const program of [whole, half]) program.dispose();
  });
}

type Result = Awaited<ReturnType<typeof step>>;

function resultChecks(wanted: Result, found: Result): Check[] {
  return [
    { what: 'loss', error: Math.abs(found.loss - wanted.loss), tolerance: 5e-3 },
    { what: 'logits, relative L2', error: relative(found.logits, wanted.logits), tolerance: 2e-2 },
    { what: 'norm of the gradient, relative', error: Math.abs(found.gradNorm / wanted.gradNorm - 1), tolerance: 1e-2 },
  ];
}

async function gradientChecks(whole: Program, half: Program): Promise<Check[]> {
  const others = await half.readAll('gradients');
  return (await whole.readAll('gradients')).flatMap(({ name, data: wanted }, k) => {
    const found = others[k]!.data;
    return vanishing.test(name) ? [] : [{ what: `gradient of ${name}, relative L2`, error: relative(found, wanted), tolerance: 5e-2 }];
  });
}

/** 0 where both are zero: no gradient passes a head of zeros. */
function relative(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  const off = norm(Float64Array.from(wanted, (value, i) => found[i]! - value));
  return off === 0 ? 0 : off / norm(wanted);
}
