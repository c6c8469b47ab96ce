import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile, type Program } from '#engine/index.js';
import { resamplePositions } from '#nn/position-embedding.js';
import type { LoadedCheckpoint } from '#storage/checkpoint.js';
import type { Tensor } from '#storage/tensor.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { FinetuneMismatch, finetuneFrom } from './worker/finetune.js';

const skip = withoutExecutor('native');

async function withProgram(model: string, sizes: { imageSize: number; classes: number }, use: (program: Program) => Promise<void>) {
  const program = await compile(model, { ...sizes, batch: 2 }, { executor: 'native' });
  try {
    await program.initialize(1n);
    await use(program);
  } finally {
    program.dispose();
  }
}

/** A checkpoint of the program's shapes under another seed. */
async function checkpointOf(model: string, sizes: { imageSize: number; classes: number }): Promise<Tensor[]> {
  let weights: Tensor[] = [];
  await withProgram(model, sizes, async (program) => {
    await program.initialize(2n);
    weights = (await program.exportState({ ema: false })).weights.map(
      ({ name, shape, data }): Tensor => ({ name, shape, dtype: 'F32', data: data as Float32Array<ArrayBuffer> }),
    );
  });
  return weights;
}

const loaded = (weights: readonly Tensor[]) => ({ tensors: { weights } }) as unknown as LoadedCheckpoint;
const name = 'projects/p/runs/r/checkpoints/c';

test('a ViT of another size and other classes: positions resampled, head as initialised, the rest taken', { skip }, async () => {
  const weights = await checkpointOf('vit_nano_p7', { imageSize: 28, classes: 5 });
  await withProgram('vit_nano_p7', { imageSize: 49, classes: 3 }, async (program) => {
    const fresh = new Map((await program.exportState({ ema: false })).weights.map((tensor) => [tensor.name, tensor.data]));
    const notices = await finetuneFrom(program, name, loaded(weights));
    assert.deepEqual(notices, [
      'pos_embed: resampled from [1,17,64] to [1,50,64]',
      'left out, since the file has no such head: head.weight, head.bias',
    ]);
    for (const { name, shape, data } of weights) {
      const expected = name === 'pos_embed' ? resamplePositions(data as Float32Array, shape, 7) : data;
      for (const state of ['weights', 'ema'] as const)
        assert.deepEqual(await program.read(state, name), name.startsWith('head.') ? fresh.get(name) : expected, `${state} ${name}`);
    }
  });
});

const changed = (weights: readonly Tensor[], name: string, part: Partial<Tensor>) =>
  weights.map((tensor) => (tensor.name === name ? { ...tensor, ...part } : tensor));

test('whatever else differs is refused in one table, and nothing is taken', { skip }, async () => {
  const sizes = { imageSize: 28, classes: 5 };
  const vit = await checkpointOf('vit_nano_p7', sizes);
  const swin = await checkpointOf('swin_nano_p2', sizes);
  const table = (tensor: Tensor) => tensor.name === 'layers.0.blocks.1.attn.relative_position_bias_table';
  const small = { shape: [49, 2], data: new Float32Array(98) };
  const cases: [string, Tensor[], [string, string][]][] = [
    // Neither another width nor a grid that is no square can be resampled.
    ['vit_nano_p7', changed(vit, 'pos_embed', { shape: [1, 34, 32] }), [['pos_embed', 'shape']]],
    ['vit_nano_p7', changed(vit, 'pos_embed', { shape: [1, 16, 68] }), [['pos_embed', 'shape']]],
    [
      'vit_nano_p7',
      changed(vit, 'norm.bias', { name: 'norm.offset' }),
      [
        ['norm.bias', 'missing'],
        ['norm.offset', 'unexpected'],
      ],
    ],
    ['swin_nano_p2', swin.map((tensor) => (table(tensor) ? { ...tensor, ...small } : tensor)), [[swin.find(table)!.name, 'shape']]],
  ];
  for (const [model, weights, expected] of cases) {
    await withProgram(model, sizes, async (program) => {
      const before = await program.exportState({ ema: true });
      await assert.rejects(finetuneFrom(program, name, loaded(weights)), (error: Error) => {
        assert.ok(error instanceof FinetuneMismatch);
        assert.deepEqual(
          error.mismatches.map((mismatch) => [mismatch.name, mismatch.problem]),
          expected,
        );
        assert.match(error.message, /cannot finetune from projects\/p\/runs\/r\/checkpoints\/c: .*\n {2}PARAMETER +PROBLEM/);
        for (const [parameter] of expected) assert.ok(error.message.includes(parameter));
        return true;
      });
      assert.deepEqual(await program.exportState({ ema: true }), before);
    });
  }
});

test('a ConvNeXt without gamma does not start from one that has it', { skip }, async () => {
  const weights = (await checkpointOf('convnext_nano_p2', { imageSize: 28, classes: 5 })).filter(({ name }) => !name.endsWith('.gamma'));
  await withProgram('convnext_nano_p2', { imageSize: 28, classes: 5 }, async (program) => {
    await assert.rejects(finetuneFrom(program, name, loaded(weights)), (error: FinetuneMismatch) => {
      assert.deepEqual(new Set(error.mismatches.map(({ problem }) => problem)), new Set(['missing']));
      return error.mismatches.length === 4;
    });
  });
});
