import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MicroBatch } from '#engine/executable.js';
import { compile, type Program } from '#engine/index.js';
import { lower } from '#engine/native/lower.js';
import { trace } from '#graph/trace.js';
import { vit } from '#nn/models/vit.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { runFloat64 } from '../../test/support/float64-program.js';
import {
  blockOf,
  computeGradient,
  DirectionSums,
  type GradientStatistics,
  NonFiniteGradient,
  WholeGradient,
} from './gradient-statistics.js';

const [size, classes, batchSize, count] = [8, 3, 4, 6];
const shapes = { imageSize: size, classes, batch: batchSize };
const model = vit({ dim: 16, depth: 2, heads: 2, patch: 4, classes });
const [seed, dropout] = [5n, 0.2];

const noise = new PhiloxDraws(purposeKey(1n, 'gradient-statistics'));
const batches: (MicroBatch & { images: Float32Array })[] = Array.from({ length: count }, (_, batch) => {
  const floats = batchSize * 3 * size * size;
  const targets = new Float32Array(batchSize * classes);
  for (let i = 0; i < batchSize; i++) targets[i * classes + ((batch + i) % classes)] = 1;
  const images = Float32Array.from({ length: floats }, (_, i) => 2 * noise.uniform(batch * floats + i) - 1);
  return { images, targets, samples: batchSize, firstSample: 0 };
});

const randomOf = (step: number, rate: number) => ({ seed, step, dropout: rate });

async function measured(program: Program, rate: number): Promise<{ statistics: GradientStatistics; whole: WholeGradient }> {
  const whole = new WholeGradient(program);
  const sums = new DirectionSums(program);
  for (const batch of batches) {
    await computeGradient(program, batch, randomOf(0, 0));
    await whole.add(batch.samples);
  }
  for (const [step, batch] of batches.entries()) await sums.add(await computeGradient(program, batch, randomOf(step, rate)));
  return { statistics: sums.statistics(whole), whole };
}

/** The same by the definitions, with every gradient kept, in float64. */
async function exact(program: Program, rate: number) {
  const spec = lower(trace(model, { channels: 3, ...shapes }), batchSize, { precision: 'fp32' });
  const weights = await program.readAll('weights');
  const gradientOf = (batch: MicroBatch, step: number, drop: number): Float64Array[] => {
    const random = { seed, step, siteRates: new Float64Array(program.sites.length).fill(drop), pathRates: new Float64Array(spec.paths) };
    const { gradients } = runFloat64(
      spec,
      weights.map(({ data }) => data),
      [batch],
      random,
      1 / batch.samples,
    );
    return gradients;
  };
  const ofBlock = (gradient: readonly Float64Array[], block: string | undefined): number[] =>
    program.parameters.flatMap(({ name }, k) => (block === undefined || blockOf(name) === block ? [...gradient[k]!] : []));
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const distance = (a: readonly number[], b: readonly number[]) => (1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))) / 2;
  const minis = batches.map((batch, step) => gradientOf(batch, step, rate));
  const plain = batches.map((batch) => gradientOf(batch, 0, 0));
  return (block: string | undefined) => {
    const vectors = minis.map((gradient) => ofBlock(gradient, block));
    const whole = plain
      .map((gradient) => ofBlock(gradient, block))
      .reduce((sum, one) => sum.map((value, i) => value + one[i]! / count), Array<number>(vectors[0]!.length).fill(0));
    const pairs = vectors.flatMap((a, i) => vectors.slice(0, i).map((b) => distance(a, b)));
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    return {
      variance: mean(pairs),
      error: mean(vectors.map((vector) => distance(vector, whole))),
      norm: mean(vectors.map((vector) => Math.sqrt(dot(vector, vector)))),
      wholeNorm: Math.sqrt(dot(whole, whole)),
    };
  };
}

for (const executor of testedExecutors)
  test(`${executor}: variance, error and norms are those of the definitions in float64, of the model and of each block`, {
    skip: withoutExecutor(executor),
  }, async () => {
    const program = await compile(model, shapes, { executor });
    try {
      await program.initialize(3n);
      for (const rate of [dropout, 0]) {
        const { statistics, whole } = await measured(program, rate);
        const definition = await exact(program, rate);
        const norms = whole.norms();
        const near = (is: number | undefined, wanted: number, what: string) =>
          assert.ok(Math.abs(is! - wanted) < 1e-4, `${what} at rate ${rate}: ${is}, not ${wanted}`);
        for (const [block, one] of [[undefined, statistics] as const, ...statistics.blocks]) {
          const wanted = definition(block);
          near(one.variance, wanted.variance, `variance of ${block}`);
          near(one.error, wanted.error, `error of ${block}`);
          near(one.norm / wanted.norm, 1, `norm of ${block}`);
          near((block === undefined ? norms.norm : norms.blocks.get(block)!) / wanted.wholeNorm, 1, `whole-set norm of ${block}`);
          assert.equal(one.batches, count);
        }
        assert.deepEqual([...statistics.blocks.keys()], ['cls_token', 'pos_embed', 'patch_embed', 'blocks.0', 'blocks.1', 'norm', 'head']);
      }
    } finally {
      program.dispose();
    }
  });

test('blocks are named by the last number in a name, or by the first word', () => {
  assert.deepEqual(
    ['blocks.11.attn.qkv.weight', 'cls_token', 'norm.weight', 'stages.2.0.dwconv.bias', 'layers.1.blocks.3.mlp.fc1.weight'].map(blockOf),
    ['blocks.11', 'cls_token', 'norm', 'stages.2.0', 'layers.1.blocks.3'],
  );
});

/** A program whose gradients are given. */
function given(gradients: readonly (readonly number[])[][]) {
  let at = -1;
  const names = ['a.0.w', 'b.0.w'];
  return {
    parameters: names.map((name) => ({ name, shape: [2], decay: true })),
    accumulate: () => {
      at++;
      return Promise.resolve({ losses: Float32Array.of(1), logits: new Float32Array(1), seconds: { forward: 0, backward: 0 } });
    },
    update: () => Promise.resolve({ gradNorm: 0, seconds: { optimizer: 0 } }),
    read: (_: string, name: string) => Promise.resolve(Float32Array.from(gradients[at]![names.indexOf(name)]!)),
  };
}

const anyBatch = { images: new Float32Array(1), targets: new Float32Array(1), samples: 1 };

test('equal directions are at 0, orthogonal at ½ and opposite at 1; a block without a gradient has no direction', async () => {
  const program = given([
    [
      [1, 0],
      [0, 0],
    ],
    [
      [2, 0],
      [0, 3],
    ],
    [
      [0, 1],
      [0, 0],
    ],
    [
      [0, -5],
      [0, 0],
    ],
  ]);
  const [whole, sums] = [new WholeGradient(program), new DirectionSums(program)];
  await computeGradient(program, anyBatch, randomOf(0, 0));
  await whole.add(1);
  for (let k = 0; k < 3; k++) await sums.add(await computeGradient(program, anyBatch, randomOf(k, 0)));
  const { blocks, loss } = sums.statistics(whole);
  const near = (is: number | undefined, wanted: number) => assert.ok(Math.abs(is! - wanted) < 1e-12, `${is}, not ${wanted}`);
  near(blocks.get('a.0')!.error, (0 + 0.5 + 0.5) / 3);
  near(blocks.get('a.0')!.variance, (0.5 + 0.5 + 1) / 3);
  near(blocks.get('a.0')!.norm, (2 + 1 + 5) / 3);
  assert.deepEqual(blocks.get('b.0'), { batches: 1, variance: undefined, error: undefined, norm: 1 });
  assert.equal(loss, 1);
});

test('a gradient that is not finite is an error', async () => {
  const program = given([
    [
      [1, 0],
      [Number.NaN, 0],
    ],
  ]);
  await computeGradient(program, anyBatch, randomOf(0, 0));
  await assert.rejects(new DirectionSums(program).add(1), NonFiniteGradient);
});
