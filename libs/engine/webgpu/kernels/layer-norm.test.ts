import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { assertMatchesFloat64, assertMatchesInHalves, values } from '../../../../test/support/webgpu-check.js';
import { closeTestDevice, type KernelRun, noWebgpu, runKernel } from '../../../../test/support/webgpu-kernel.js';

after(closeTestDevice);
const skip = noWebgpu;

/** Rows and widths that are even and odd, narrower and wider than a workgroup. */
const shapes = [
  { n: 2, rows: 5, width: 96 },
  { n: 3, rows: 1, width: 33 },
  { n: 1, rows: 1, width: 7 },
  { n: 5, rows: 41, width: 192 },
];

const normalized = ({ n, rows, width }: (typeof shapes)[0]): KernelRun => ({
  kernel: 'layer_norm',
  attributes: { rows, width, eps: 1e-6 },
  // Rows with a mean of their own that is larger than their deviation.
  inputs: {
    x: values(n * rows * width, 1).map((v, i) => v + 3 * Math.sin(Math.floor(i / width))),
    weight: values(width, 2),
    bias: values(width, 3),
  },
  outputs: { y: n * rows * width, mean: n * rows, rstd: n * rows },
  n,
});

test('layer_norm is within 2e-6, in place too', { skip }, async () => {
  for (const shape of shapes) {
    await assertMatchesFloat64(normalized(shape), 2e-6);
    await assertMatchesFloat64({ ...normalized(shape), inPlace: 'x' }, 2e-6);
    await assertMatchesInHalves(normalized(shape), 2e-6);
    await assertMatchesInHalves({ ...normalized(shape), inPlace: 'x' }, 2e-6);
  }
});

test('layer_norm_grad is within 2e-6 and adds to the gradients of its parameters; equal bits run to run', { skip }, async () => {
  for (const shape of shapes) {
    const { n, rows, width } = shape;
    const { inputs } = normalized(shape);
    const { mean, rstd } = await runKernel(normalized(shape));
    const run: KernelRun = {
      kernel: 'layer_norm_grad',
      attributes: { rows, width },
      inputs: { x: inputs.x!, weight: inputs.weight!, mean: mean!, rstd: rstd!, dy: values(n * rows * width, 4) },
      outputs: { y: n * rows * width, weight: values(width, 5), bias: values(width, 6) },
      n,
    };
    for (const inPlace of ['x', 'dy', undefined]) await assertMatchesFloat64({ ...run, ...(inPlace && { inPlace }) }, 2e-6);
    for (const inPlace of ['dy', undefined]) await assertMatchesInHalves({ ...run, ...(inPlace && { inPlace }) }, 2e-6);
    assert.deepEqual(await runKernel(run), await runKernel(run));
  }
});
