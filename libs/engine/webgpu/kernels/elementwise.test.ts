import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { keepThreshold } from '#random/philox.js';
import { assertMatchesFloat64, assertMatchesInHalves, values } from '../../../../test/support/webgpu-check.js';
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

test('add and multiply round once to bf16, and read it', { skip }, async () => {
  for (const { n, rows, width } of shapes) {
    const length = n * rows * width;
    const run = { attributes: { rows, width }, inputs: { a: values(length, 1), b: values(length, 2) }, outputs: { y: length }, n };
    await assertMatchesInHalves({ ...run, kernel: 'add' }, 1e-7);
    await assertMatchesInHalves({ ...run, kernel: 'multiply' }, 1e-7);
    await assertMatchesInHalves({ ...run, kernel: 'multiply', inPlace: 'b' }, 1e-7);
  }
});

test('gelu and its gradient are within 5e-7 of the exact form, from −12 to 12', { skip }, async () => {
  const x = Float32Array.from({ length: 4806 }, (_, i) => (i - 2403) / 200);
  const run = { attributes: { rows: 1, width: x.length }, n: 1, outputs: { y: x.length } };
  // Relative to 1 near 0, where gelu is as small as x.
  for (const part of [x, x.map((value) => value / 12)]) {
    await assertMatchesFloat64({ ...run, kernel: 'gelu', inputs: { x: part } }, 5e-7);
    await assertMatchesFloat64({ ...run, kernel: 'gelu_grad', inputs: { x: part, dy: values(x.length, 3) } }, 5e-7);
  }
  await assertMatchesInHalves({ ...run, kernel: 'gelu', inputs: { x } }, 5e-7);
  await assertMatchesInHalves({ ...run, kernel: 'gelu_grad', inputs: { x, dy: values(x.length, 3) }, inPlace: 'dy' }, 5e-7);
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

test('cast rounds to the nearest bf16, ties to even, and keeps every bf16 as it is', { skip }, async () => {
  const run = { kernel: 'cast' as const, attributes: { width: 1 } };
  // All but NaN, and numbers below the normal ones, which a device may flush to zero.
  const every = Uint32Array.from({ length: 65_536 }, (_, bits) => bits << 16);
  const numbers = new Float32Array(every.buffer).filter((value) => Math.abs(value) >= 2 ** -126);
  const shape = { n: numbers.length, outputs: { y: numbers.length } };
  assert.deepEqual((await runKernel({ ...run, ...shape, inputs: { x: numbers }, halves: ['in.x'] })).y, numbers);
  const [one, step] = [0x3f800000, 0x10000];
  const [low, tie, high] = [step / 2 - 1, step / 2, step / 2 + 1];
  const bits = [one + low, one + tie, one + high, one + step + low, one + step + tie, one + step + high, 0x7f7fffff, 0x7f800000];
  const expected = [one, one, one + step, one + step, one + 2 * step, one + 2 * step, 0x7f800000, 0x7f800000];
  const floats = (all: readonly number[]) => Float32Array.from(new Float32Array(Uint32Array.from(all).buffer));
  const [x, rounded] = [floats(bits), floats(expected)];
  const { y } = await runKernel({
    ...run,
    inputs: { x: Float32Array.of(...x, ...x.map((v) => -v)) },
    n: 16,
    outputs: { y: 16 },
    halves: ['out.y'],
  });
  assert.deepEqual(y, Float32Array.of(...rounded, ...rounded.map((v) => -v)));
  const { y: nan } = await runKernel({
    ...run,
    inputs: { x: floats([0x7f800001, 0xffffffff]) },
    n: 2,
    outputs: { y: 2 },
    halves: ['out.y'],
  });
  assert.ok(nan!.every(Number.isNaN));
});

test('dropout in bf16 drops the same elements and rounds the others once', { skip }, async () => {
  for (const { n, rows, width } of shapes) {
    const length = n * rows * width;
    const dropout = { rate: 0.3, site: 5, siteElements: rows * width, seed: 99n, step: 77, firstSample: 40 };
    const run = { attributes: { rows, width }, inputs: { x: values(length, 5) }, outputs: { y: length }, n, dropout };
    await assertMatchesInHalves({ ...run, kernel: 'dropout', inPlace: 'x' }, 1e-7);
  }
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
