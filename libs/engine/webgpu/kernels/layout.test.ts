import { after, test } from 'node:test';
import { assertMatchesFloat64, assertMatchesInHalves, values } from '../../../../test/support/webgpu-check.js';
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

async function assertCopies(run: KernelRun): Promise<void> {
  await assertMatchesFloat64(run, 0);
  await assertMatchesInHalves(run, 0);
}

test('copies put every element where the float64 machine does', { skip }, async () => {
  for (const patch of [1, 2, 3, 4]) {
    const attributes = { channels: 3, height: 12, width: 24, patch };
    await assertCopies(one('patches', attributes, 'images', 864, 864));
  }
  for (const [tokens, width] of sizes) {
    const all = tokens * width;
    await assertCopies(one('take_token', { tokens, width, token: 2 }, 'x', all, width));
    await assertCopies(one('take_token_grad', { tokens, width, token: 2 }, 'dy', width, all));
    await assertCopies(one('transpose_tokens', { tokens, width }, 'x', all, all));
  }
  for (const order of [0, 1])
    for (const channels of [1, 2, 5, 8]) {
      const [attributes, all] = [{ height: 4, width: 6, channels, order }, 24 * channels];
      await assertCopies(one('merge_patches', attributes, 'x', all, all));
      await assertCopies(one('merge_patches_grad', attributes, 'dy', all, all));
    }
});

test('means over tokens are within 3e-7', { skip }, async () => {
  for (const [tokens, width] of sizes) {
    for (const asserted of [assertMatchesFloat64, assertMatchesInHalves]) {
      await asserted(one('mean_tokens', { tokens, width }, 'x', tokens * width, width), 3e-7);
      await asserted(one('mean_tokens_grad', { tokens, width }, 'dy', width, tokens * width), 3e-7);
    }
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
        const n = kept.length;
        for (const asserted of [assertMatchesFloat64, assertMatchesInHalves]) {
          const gathered = { ...shared, inputs: { x }, outputs: { y: n * width }, n, positions: kept };
          if (n > 0) await asserted({ ...gathered, kernel: 'gather_kept' }, 1e-7);
          const added = { ...shared, inputs: { x, y: branch }, outputs: { y: samples * width }, n: samples };
          await asserted({ ...added, kernel: 'scatter_add_kept' }, 2e-7);
          await asserted({ ...added, kernel: 'scatter_add_kept', inPlace: 'x' }, 2e-7);
        }
      }
});

test('the class token and positions, with their gradients', { skip }, async () => {
  for (const [tokens, width] of sizes) {
    const all = tokens * width;
    const attributes = { tokens, width };
    const [x, token, positions, dy] = [values(n * all, 1), values(width, 2), values(all, 2), values(n * (all + width), 1)];
    const added: KernelRun = { kernel: 'add_positions', attributes, inputs: { x, positions }, outputs: { y: n * all }, n };
    await assertMatchesFloat64({ ...added, inPlace: 'x' }, 1e-7);
    await assertMatchesInHalves(added, 1e-7);
    for (const asserted of [assertMatchesFloat64, assertMatchesInHalves]) {
      await asserted({ kernel: 'prepend_token', attributes, inputs: { x, token }, outputs: { y: n * (all + width) }, n }, 0);
      await asserted({ kernel: 'prepend_token_grad', attributes, inputs: { dy }, outputs: { y: n * all, token }, n }, 3e-7);
    }
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
