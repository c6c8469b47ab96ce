import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { assertMatchesFloat64, assertMatchesInHalves, values } from '../../../../test/support/webgpu-check.js';
import { closeTestDevice, type KernelRun, noWebgpu, runKernel } from '../../../../test/support/webgpu-kernel.js';
import { type Tiles, tiledProducts, tileNames } from './tile-shapes.js';

after(closeTestDevice);
const skip = noWebgpu;

/** One and several tiles of both sizes; sizes with and without whole vectors and whole steps of the sum. */
const shapes = [
  { n: 2, rows: 9, k: 16, out: 24 },
  { n: 3, rows: 50, k: 48, out: 130 },
  { n: 1, rows: 1, k: 1, out: 1 },
  { n: 5, rows: 1, k: 37, out: 10 },
  { n: 2, rows: 70, k: 23, out: 67 },
];

type Shape = (typeof shapes)[0];

const linear = ({ n, rows, k, out }: Shape, { bias = true, gelu = false, slope = true } = {}): KernelRun => ({
  kernel: 'linear',
  attributes: { rows, in: k, out, gelu: Number(gelu), bias: Number(bias) },
  inputs: { x: values(n * rows * k, 1), weight: values(k * out, 2), ...(bias && { bias: values(out, 3) }) },
  outputs: { y: n * rows * out, ...(gelu && slope && { slope: n * rows * out }) },
  n,
});

const linearInputGrad = ({ n, rows, k, out }: Shape, gelu: number): KernelRun => ({
  kernel: 'linear_input_grad',
  attributes: { rows, in: k, out, gelu },
  inputs: { dy: values(n * rows * out, 1), weight: values(k * out, 2), ...(gelu === 1 && { slope: values(n * rows * k, 3) }) },
  outputs: { y: n * rows * k },
  n,
});

const linearWeightGrad = ({ n, rows, k, out }: Shape, bias: boolean): KernelRun => ({
  kernel: 'linear_weight_grad',
  attributes: { rows, in: k, out },
  inputs: { x: values(n * rows * k, 1), dy: values(n * rows * out, 2) },
  outputs: { weight: values(k * out, 3), ...(bias && { bias: values(out, 4) }) },
  n,
});

test('linear is within 1e-6, with every epilogue', { skip }, async () => {
  for (const shape of shapes) {
    await assertMatchesFloat64(linear(shape), 1e-6);
    await assertMatchesFloat64(linear(shape, { bias: false }), 1e-6);
    await assertMatchesFloat64(linear(shape, { gelu: true }), 1e-6);
    await assertMatchesFloat64(linear(shape, { gelu: true, slope: false }), 1e-6);
  }
});

test('linear in bf16 rounds its weight, and once what it stores; odd rows, too', { skip }, async () => {
  for (const shape of shapes) {
    await assertMatchesInHalves(linear(shape, { bias: false }), 1e-6);
    await assertMatchesInHalves(linear(shape, { gelu: true }), 1e-6);
  }
});

test('a chunk with fewer samples than the largest is the same as one of its own', { skip }, async () => {
  const run = linear({ n: 2, rows: 9, k: 16, out: 24 });
  assert.deepEqual(await runKernel({ ...run, chunkSamples: 12 }), await runKernel({ ...run, chunkSamples: 12, n: 2 }));
  await assertMatchesFloat64({ ...run, chunkSamples: 12 }, 1e-6);
});

test('linear_input_grad is within 1e-6, in bf16 too, with and without the slope of a GELU', { skip }, async () => {
  for (const { n, rows, k, out } of shapes)
    for (const gelu of [0, 1]) {
      const run = linearInputGrad({ n, rows, k, out }, gelu);
      await assertMatchesFloat64(run, 1e-6);
      await assertMatchesInHalves(run, 1e-6);
    }
});

test('linear_weight_grad is within 2e-6 and adds to the gradients; split rows, too; equal bits run to run', { skip }, async () => {
  for (const { n, rows, k, out } of [...shapes, { n: 3, rows: 700, k: 12, out: 8 }])
    for (const bias of [true, false]) {
      const run = linearWeightGrad({ n, rows, k, out }, bias);
      await assertMatchesFloat64(run, 2e-6);
      await assertMatchesFloat64({ ...run, chunkSamples: 4 * n }, 2e-6);
      await assertMatchesInHalves(run, 2e-6);
      assert.deepEqual(await runKernel(run), await runKernel(run));
    }
});

/** Rows and columns of more than one of the largest tiles, with edges; whole vectors and whole steps of the sum, and none. */
const wide = [
  { rows: 50, columns: 132, sum: 48 },
  { rows: 47, columns: 137, sum: 37 },
];

for (const tile of tileNames)
  test(`every product is as near to float64 with tile ${tile}, in fp32 and in bf16`, { skip }, async () => {
    const tiles: Tiles = Object.fromEntries(tiledProducts.flatMap((one) => ['fp32', 'bf16'].map((type) => [`${one}.${type}`, tile])));
    for (const { rows, columns, sum } of wide) {
      const forward = linear({ n: 3, rows, k: sum, out: columns }, { gelu: true });
      for (const run of [forward, linearInputGrad({ n: 3, rows, k: columns, out: sum }, 1)]) {
        await assertMatchesFloat64({ ...run, tiles }, 1e-6);
        await assertMatchesInHalves({ ...run, tiles }, 1e-6);
      }
      const gradient = { ...linearWeightGrad({ n: 3, rows, k: 144 + (columns % 2), out: columns }, true), tiles };
      await assertMatchesFloat64(gradient, 2e-6);
      await assertMatchesInHalves(gradient, 2e-6);
      assert.deepEqual(await runKernel(gradient), await runKernel(gradient));
    }
  });
