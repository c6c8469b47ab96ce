import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { keepThreshold } from '#random/philox.js';
import { assertMatchesFloat64, values } from '../../../../test/support/webgpu-check.js';
import { closeTestDevice, type KernelRun, noWebgpu, runKernel } from '../../../../test/support/webgpu-kernel.js';
import { siteMask } from '../../masks.js';

after(closeTestDevice);
const skip = noWebgpu;

/** With rows that four, two and no more than one element fit into. */
const shapes = [
  { n: 3, rows: 4, width: 16 },
  { n: 2, rows: 3, width: 6 },
  { n: 3, rows: 1, width: 7 },
  { n: 1, rows: 1, width: 1 },
];

for (const kernel of ['add', 'multiply'] as const) {
  test(`${kernel} is exact for every pair of elements, in place too`, { skip }, async () => {
    for (const { n, rows, width } of shapes) {
      const length = n * rows * width;
      const [a, b] = [values(length, 1), values(length, 2)];
      for (const inPlace of ['a', 'b', undefined]) {
        const { y } = await runKernel({
          kernel,
          attributes: { rows, width },
          inputs: { a, b },
          outputs: { y: length },
          n,
          ...(inPlace && { inPlace }),
        });
        assert.deepEqual(
          y,
          a.map((value, i) => (kernel === 'add' ? value + b[i]! : value * b[i]!)),
        );
      }
    }
  });
}

test('gelu and its gradient are within 5e-7 of the exact form, from −12 to 12', { skip }, async () => {
  const x = Float32Array.from({ length: 4806 }, (_, i) => (i - 2403) / 200);
  const run = { attributes: { rows: 1, width: x.length }, n: 1, outputs: { y: x.length } };
  // Relative to 1 near 0, where gelu is as small as x.
  for (const part of [x, x.map((value) => value / 12)]) {
    await assertMatchesFloat64({ ...run, kernel: 'gelu', inputs: { x: part } }, 5e-7);
    await assertMatchesFloat64({ ...run, kernel: 'gelu_grad', inputs: { x: part, dy: values(x.length, 3) } }, 5e-7);
  }
});

test('gelu keeps its relative precision in the lower tail', { skip }, async () => {
  const { y } = await runKernel({
    kernel: 'gelu',
    attributes: { rows: 1, width: 2 },
    inputs: { x: Float32Array.of(-5, -9) },
    outputs: { y: 2 },
    n: 1,
  });
  const expected = [-1.4332578e-6, -1.0157263e-18];
  y?.forEach((value, i) => {
    assert.ok(Math.abs(value / expected[i]! - 1) < 2e-5, `${value}, expected ${expected[i]}`);
  });
});

test('cast copies fp32', { skip }, async () => {
  const x = values(21, 4);
  assert.deepEqual((await runKernel({ kernel: 'cast', attributes: { width: 7 }, inputs: { x }, outputs: { y: 21 }, n: 3 })).y, x);
});

test('dropout has the masks of every executor, to the bit', { skip }, async () => {
  for (const { n, rows, width } of shapes) {
    const siteElements = rows * width;
    const x = values(n * siteElements, 5);
    const positions = Array.from({ length: n }, (_, i) => 2 * i + 1);
    const drawn = { rate: 0.3, site: 5, siteElements, seed: 0x123456789abcdefn, step: 77, firstSample: 40 };
    const run: KernelRun = {
      kernel: 'dropout',
      attributes: { rows, width },
      inputs: { x },
      outputs: { y: x.length },
      inPlace: 'x',
      n,
      samples: 2 * n,
      positions,
      dropout: drawn,
    };
    const siteRates = Float64Array.of(0, 0, 0, 0, 0, drawn.rate);
    const random = { seed: drawn.seed, step: drawn.step, siteRates, pathRates: new Float64Array(0) };
    const expected = new Float32Array(x.length);
    positions.forEach((position, i) => {
      siteMask(expected.subarray(i * siteElements, (i + 1) * siteElements), random, drawn.site, drawn.firstSample + position);
    });
    assert.deepEqual(
      (await runKernel(run)).y,
      expected.map((factor, i) => (factor === 0 ? 0 : factor * x[i]!)),
    );
    const mask = Uint8Array.from({ length: 2 * n * siteElements }, (_, i) => Number(i % 3 !== 1));
    const explicit = (await runKernel({ ...run, dropout: { ...drawn, mask } })).y;
    const scale = Math.fround(1 / (1 - drawn.rate));
    assert.deepEqual(
      explicit,
      x.map((value, i) => (mask[positions[Math.floor(i / siteElements)]! * siteElements + (i % siteElements)] ? value * scale : 0)),
    );
    assert.deepEqual((await runKernel({ ...run, dropout: { ...drawn, rate: 0 } })).y, x);
  }
  assert.ok(keepThreshold(0.3) > 0);
});
