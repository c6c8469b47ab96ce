/** A training on the GPU is the native engine's up to rounding, and the same bits every time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutExecutor } from '../../../test/support/executors.js';
import { smallTraining } from '../../../test/support/small-training.js';

const skip = withoutExecutor('webgpu');

test('200 steps of a small ViT have the losses of the native engine within 1e-3, and it learns', { skip }, async () => {
  const steps = 200;
  const native = await smallTraining('native', steps);
  const gpu = await smallTraining('webgpu', steps);
  const off = gpu.losses.map((loss, step) => Math.abs(loss - native.losses[step]!));
  const worst = off.indexOf(Math.max(...off));
  assert.ok(off[worst]! <= 1e-3, `step ${worst}: loss ${gpu.losses[worst]}, natively ${native.losses[worst]}`);
  assert.ok(gpu.losses.at(-1)! < gpu.losses[0]! / 2, `from ${gpu.losses[0]} to ${gpu.losses.at(-1)}`);
});

test('three trainings have equal bits', { skip }, async () => {
  const [first, ...others] = [await smallTraining('webgpu', 12), await smallTraining('webgpu', 12), await smallTraining('webgpu', 12)];
  for (const other of others) assert.deepEqual(other, first);
});
