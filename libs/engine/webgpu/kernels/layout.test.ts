import { after, test } from 'node:test';
import { assertMatchesFloat64, values } from '../../../../test/support/webgpu-check.js';
import { closeTestDevice, type KernelRun, noWebgpu } from '../../../../test/support/webgpu-kernel.js';

after(closeTestDevice);
const skip = noWebgpu;

const n = 3;
const one = (
  kernel: KernelRun['kernel'],
  attributes: Record<string, number>,
  input: string,
  inputs: number,
  outputs: number,
): KernelRun => ({
  kernel,
  attributes,
  inputs: { [input]: values(n * inputs, 1) },
  outputs: { y: n * outputs },
  n,
});

/** Of [tokens, width]. */
const sizes = [
  [5, 8],
  [4, 6],
  [3, 5],
] as const;

test('copies put every element where the float64 machine does', { skip }, async () => {
  for (const patch of [1, 2, 3, 4]) {
    const attributes = { channels: 3, height: 12, width: 24, patch };
    await assertMatchesFloat64(one('patches', attributes, 'images', 864, 864), 0);
  }
  for (const [tokens, width] of sizes) {
    const all = tokens * width;
    await assertMatchesFloat64(one('take_token', { tokens, width, token: 2 }, 'x', all, width), 0);
    await assertMatchesFloat64(one('take_token_grad', { tokens, width, token: 2 }, 'dy', width, all), 0);
    await assertMatchesFloat64(one('transpose_tokens', { tokens, width }, 'x', all, all), 0);
  }
  for (const order of [0, 1])
    for (const channels of [1, 2, 5, 8]) {
      const [attributes, all] = [{ height: 4, width: 6, channels, order }, 24 * channels];
      await assertMatchesFloat64(one('merge_patches', attributes, 'x', all, all), 0);
      await assertMatchesFloat64(one('merge_patches_grad', attributes, 'dy', all, all), 0);
    }
});

test('means over tokens are within 3e-7', { skip }, async () => {
  for (const [tokens, width] of sizes) {
    await assertMatchesFloat64(one('mean_tokens', { tokens, width }, 'x', tokens * width, width), 3e-7);
    await assertMatchesFloat64(one('mean_tokens_grad', { tokens, width }, 'dy', width, tokens * width), 3e-7);
  }
});

test('kept samples are gathered, and added to their places', { skip }, async () => {
  for (const width of [12, 10, 7])
    for (const scaled of [0, 1])
      for (const kept of [[0, 3, 4], [1], []]) {
        const [samples, pathRate] = [5, 0.4];
        const shared = { attributes: { width, path: 2, scaled }, samples, pathRate, kept };
        const x = values(samples * width, 2);
        const branch = values(kept.length * width, 3);
        if (kept.length > 0) {
          await assertMatchesFloat64(
            { ...shared, kernel: 'gather_kept', inputs: { x }, outputs: { y: kept.length * width }, n: kept.length, positions: kept },
            1e-7,
          );
        }
        for (const inPlace of ['x', undefined]) {
          await assertMatchesFloat64(
            {
              ...shared,
              kernel: 'scatter_add_kept',
              inputs: { x, y: branch },
              outputs: { y: samples * width },
              n: samples,
              ...(inPlace && { inPlace }),
            },
            2e-7,
          );
        }
      }
});

test('the class token and positions, with their gradients', { skip }, async () => {
  for (const [tokens, width] of sizes) {
    const all = tokens * width;
    await assertMatchesFloat64(
      {
        kernel: 'prepend_token',
        attributes: { tokens, width },
        inputs: { x: values(n * all, 1), token: values(width, 2) },
        outputs: { y: n * (all + width) },
        n,
      },
      0,
    );
    await assertMatchesFloat64(
      {
        kernel: 'prepend_token_grad',
        attributes: { tokens, width },
        inputs: { dy: values(n * (all + width), 1) },
        outputs: { y: n * all, token: values(width, 2) },
        n,
      },
      3e-7,
    );
    await assertMatchesFloat64(
      {
        kernel: 'add_positions',
        attributes: { tokens, width },
        inputs: { x: values(n * all, 1), positions: values(all, 2) },
        outputs: { y: n * all },
        inPlace: 'x',
        n,
      },
      1e-7,
    );
    // More samples than one block of the sum over rows has.
    for (const samples of [1, 3, 150]) {
      await assertMatchesFloat64(
        {
          kernel: 'add_positions_grad',
          attributes: { tokens, width },
          inputs: { dy: values(samples * all, 1) },
          outputs: { positions: values(all, 2) },
          n: samples,
          chunkSamples: 150,
        },
        1e-6,
      );
    }
  }
});
