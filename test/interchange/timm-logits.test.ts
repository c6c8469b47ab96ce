/** Our engine against timm's models, in both directions: DROPSTREAM_PEERS_VENV names a virtual environment with torch and timm. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { compile, type Program } from '#engine/index.js';
import { bytesSource } from '#interchange/byte-source.js';
import { exportWeights } from '#interchange/export-weights.js';
import { importWeights } from '#interchange/import-weights.js';
import { openWeightFile } from '#interchange/weight-file.js';
import { gridSide, resamplePositions } from '#nn/position-embedding.js';
import { decodeSafetensors, encodeSafetensors } from '#storage/safetensors.js';
import type { Tensor } from '#storage/tensor.js';
import { withoutExecutor } from '../support/executors.js';
import { fillInput, fillParameter } from '../support/fixtures.js';
import { maxAbsoluteDifference } from '../support/golden-model.js';

const venv = process.env.DROPSTREAM_PEERS_VENV;
const skip = venv === undefined ? 'DROPSTREAM_PEERS_VENV names no environment with torch and timm' : withoutExecutor('native');
const timmNames = {
  vit_tiny: 'vit_tiny_patch16_224',
  mixer_s32: 'mixer_s32_224',
  swin_tiny: 'swin_tiny_patch4_window7_224',
  convnext_atto: 'convnext_atto',
};
const models = Object.keys(timmNames) as (keyof typeof timmNames)[];
const [samples, classes, imageSize] = [2, 1000, 224];
const images = fillInput('timm', [samples, 3, imageSize, imageSize]);
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropstream-timm-'));
  await save('input', [
    { name: 'input', shape: [samples, 3, imageSize, imageSize], dtype: 'F32', data: images as Float32Array<ArrayBuffer> },
  ]);
});
after(() => rm(folder, { recursive: true, force: true }));

const save = (name: string, tensors: readonly Tensor[]) =>
  writeFile(join(folder, `${name}.safetensors`), Buffer.concat(encodeSafetensors(tensors)));
const read = async (name: string) =>
  new Map(decodeSafetensors(await readFile(join(folder, `${name}.safetensors`))).tensors.map((tensor) => [tensor.name, tensor]));

async function python(program: string, ...argv: string[]): Promise<void> {
  await promisify(execFile)(join(venv!, 'bin', 'python'), ['-c', program, ...argv], { cwd: folder, timeout: 120_000 });
}

async function withProgram<T>(model: string, use: (program: Program) => Promise<T>): Promise<T> {
  const program = await compile(model, { imageSize, classes, batch: samples }, { executor: 'native' });
  try {
    return await use(program);
  } finally {
    program.dispose();
  }
}

/** The engine's logits of the test's images. */
async function logitsOf(program: Program): Promise<Float32Array> {
  const targets = new Float32Array(samples * classes).fill(1 / classes);
  return (await program.evaluate({ images, targets, samples })).logits;
}

const common = `
import sys, torch, timm
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
images = load_file("input.safetensors")["input"]
`;

test("an export loads strictly in timm, which gives our engine's logits", { skip, timeout: 180_000 }, async () => {
  const ours = new Map<string, Float32Array>();
  for (const model of models) {
    await withProgram(model, async (program) => {
      const weights = program.parameters.map(({ name, shape }): Tensor => {
        const data = fillParameter('timm', name, shape) as Float32Array<ArrayBuffer>;
        return { name, shape: [...shape], dtype: 'F32', data };
      });
      for (const { name, data } of weights) await program.write('weights', name, data as Float32Array);
      await save(model, exportWeights(weights, model, 'timm', 'float32'));
      ours.set(model, await logitsOf(program));
    });
  }
  await python(
    `${common}
for model, name in zip(sys.argv[1::2], sys.argv[2::2]):
    net = timm.create_model(name).eval()
    net.load_state_dict(load_file(f"{model}.safetensors"), strict=True)
    with torch.no_grad():
        save_file({"logits": net(images)}, f"{model}.logits.safetensors")
`,
    ...Object.entries(timmNames).flat(),
  );
  for (const model of models) {
    const theirs = (await read(`${model}.logits`)).get('logits')!.data as Float32Array;
    assert.equal(theirs.length, samples * classes);
    const error = maxAbsoluteDifference(ours.get(model)!, theirs);
    assert.ok(error < 1e-4, `${model}: logits differ by ${error}`);
  }
});

test("what timm saves imports, and our engine gives timm's logits; likewise a .pth in the reference's form", {
  skip,
  timeout: 180_000,
}, async () => {
  await python(
    `${common}
import argparse
torch.manual_seed(5)
for model, name in zip(sys.argv[1::2], sys.argv[2::2]):
    net = timm.create_model(name).eval()
    with torch.no_grad():
        # timm's heads and Mixer's begin at or near zero, and so would the logits.
        for p in net.parameters():
            p.add_(0.02 * torch.randn(p.shape))
        save_file({"logits": net(images)}, f"{model}.theirs.logits.safetensors")
    state = net.state_dict()
    save_file(state, f"{model}.theirs.safetensors")
    torch.save({"model": state, "optimizer": {"state": {}, "param_groups": []}, "epoch": 3, "args": argparse.Namespace(model=name)}, f"{model}.pth")
`,
    ...Object.entries(timmNames).flat(),
  );
  for (const model of models) {
    const theirs = (await read(`${model}.theirs.logits`)).get('logits')!.data as Float32Array;
    const size = Math.hypot(...theirs) / Math.sqrt(theirs.length);
    assert.ok(size > 0.05, `${model}: the logits say something, ${size}`);
    await withProgram(model, async (program) => {
      const expected = program.parameters.map(({ name, shape }) => ({ name, shape: [...shape] }));
      for (const file of [`${model}.theirs.safetensors`, `${model}.pth`]) {
        await program.initialize(1n);
        const { tensors } = await importWeights(await openWeightFile(bytesSource(await readFile(join(folder, file)))), { expected });
        for (const { name, data } of tensors) await program.write('weights', name, data as Float32Array);
        const error = maxAbsoluteDifference(await logitsOf(program), theirs);
        assert.ok(error < 1e-4, `${file}: logits differ by ${error}`);
      }
    });
  }
});

test("a whole position embedding is resampled as timm's", { skip, timeout: 60_000 }, async () => {
  const shape = [1, 197, 192];
  const values = fillParameter('timm', 'pos_embed', shape) as Float32Array<ArrayBuffer>;
  await save('positions', [{ name: 'positions', shape, dtype: 'F32', data: values }]);
  await python(`
from safetensors.torch import load_file, save_file
from timm.layers.pos_embed import resample_abs_pos_embed
given = load_file("positions.safetensors")["positions"]
save_file({str(side): resample_abs_pos_embed(given, [side, side]).contiguous() for side in (2, 13, 15, 24, 32)}, "resampled.safetensors")
`);
  const resampled = await read('resampled');
  assert.equal(resampled.size, 5);
  for (const [side, { shape: wanted, data }] of resampled) {
    assert.equal(gridSide(wanted), Number(side));
    const error = maxAbsoluteDifference(resamplePositions(values, shape, Number(side)), data as Float32Array);
    assert.ok(error < 1e-6, `${side}: differs by ${error}`);
  }
});
