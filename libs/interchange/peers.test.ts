/** Against torch and timm themselves: DROPSTREAM_PEERS_VENV names a virtual environment that has both. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { encodeSafetensors } from '#storage/safetensors.js';
import type { Tensor } from '#storage/tensor.js';
import { fillInput, fillParameter, fixtureJson, fixtureTensors, withoutFixtures } from '../../test/support/fixtures.js';
import { bytesSource } from './byte-source.js';
import { exportWeights } from './export-weights.js';
import { importWeights } from './import-weights.js';
import { openWeightFile } from './weight-file.js';

const venv = process.env.DROPSTREAM_PEERS_VENV;
const skip = venv === undefined ? 'DROPSTREAM_PEERS_VENV names no environment with torch and timm' : withoutFixtures;
const run = promisify(execFile);
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropstream-peers-'));
});
after(() => rm(folder, { recursive: true, force: true }));

async function python(program: string, ...argv: string[]): Promise<string> {
  const { stdout } = await run(join(venv!, 'bin', 'python'), ['-c', program, ...argv], { cwd: folder, timeout: 120_000 });
  return stdout;
}

/** Of the reference's models, those that timm builds under these names; small ones, of each family and both kinds of MLP. */
const timmNames = {
  vit_tiny: 'vit_tiny_patch16_224',
  mixer_s32: 'mixer_s32_224',
  swin_tiny: 'swin_tiny_patch4_window7_224',
  convnext_atto: 'convnext_atto',
  convnext_tiny: 'convnext_tiny',
};

/** Loads strictly, computes logits, and saves the state_dict as timm and the reference do. */
const program = `
import collections, sys, torch, timm
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
for model, name in zip(sys.argv[1::2], sys.argv[2::2]):
    net = timm.create_model(name).eval()
    state = load_file(f"{model}.safetensors")
    net.load_state_dict(state, strict=True)
    with torch.no_grad():
        logits = net(load_file(f"{model}.input.safetensors")["input"])
    save_file({"logits": logits}, f"{model}.logits.safetensors")
    import argparse
    torch.save({"model": net.state_dict(), "optimizer": {"state": {}, "param_groups": []}, "epoch": 3, "args": argparse.Namespace(model=name)}, f"{model}.pth")
    torch.save({"state_dict": collections.OrderedDict((k, v.half()) for k, v in net.state_dict().items())}, f"{model}.half.pth")
`;

test('timm loads an export strictly and gives the golden logits; what it saves imports', { skip, timeout: 180_000 }, async () => {
  const tables = fixtureJson<Record<string, { params: Record<string, number[]> }>>('tables/parameters.json');
  const golden = fixtureTensors('models_full/logits.safetensors');
  const ours = new Map<string, Tensor[]>();
  for (const model of Object.keys(timmNames)) {
    const { salt, batch } = fixtureJson<{ salt: string; batch: number }>(`models_full/${model}.json`);
    const weights = Object.entries(tables[model]!.params).map(
      ([name, shape]): Tensor => ({ name, shape, dtype: 'F32', data: fillParameter(salt, name, shape) as Float32Array<ArrayBuffer> }),
    );
    ours.set(model, weights);
    const shape = [batch, 3, 224, 224];
    const input: Tensor = { name: 'input', shape, dtype: 'F32', data: fillInput(salt, shape) as Float32Array<ArrayBuffer> };
    await writeFile(
      join(folder, `${model}.safetensors`),
      Buffer.concat(encodeSafetensors(exportWeights(weights, model, 'timm', 'float32'))),
    );
    await writeFile(join(folder, `${model}.input.safetensors`), Buffer.concat(encodeSafetensors([input])));
  }
  await python(program, ...Object.entries(timmNames).flat());
  for (const [model, weights] of ours) {
    const read = async (name: string) => openWeightFile(bytesSource(await readFile(join(folder, name))), { modelKey: 'model|state_dict' });
    const logits = (await (await read(`${model}.logits.safetensors`)).entries[0]!.read()) as Float32Array;
    const expected = golden.get(`${model}/logits`)!.data;
    assert.equal(logits.length, expected.length);
    const error = logits.reduce((most, value, i) => Math.max(most, Math.abs(value - Number(expected[i]))), 0);
    assert.ok(error < 1e-4, `${model}: logits differ by ${error}`);

    const shapes = weights.map(({ name, shape }) => ({ name, shape }));
    const back = await importWeights(await read(`${model}.pth`), { expected: shapes });
    for (const [k, { name, data }] of back.tensors.entries()) assert.deepEqual(data, weights[k]!.data, `${model} ${name}`);
    const half = await importWeights(await read(`${model}.half.pth`), { expected: shapes });
    for (const [k, { name, data }] of half.tensors.entries()) {
      // Half of the unit in the last place of float16, for values below 2.
      const error = (data as Float32Array).reduce((most, value, i) => Math.max(most, Math.abs(value - Number(weights[k]!.data[i]))), 0);
      assert.ok(error <= 2 ** -11, `${model} ${name} differs by ${error}`);
    }
  }
});

test('every type of element and the legacy format, as this torch writes them', {
  skip: venv === undefined && skip,
  timeout: 60_000,
}, async () => {
  const written = await python(
    `
import json, torch
v = torch.tensor([1.0, -0.1, 70000.0, 1e-7, 3e-5])
model = {"f64": v.double() / 3, "f16": v[[0, 1, 3, 4]].half(), "bf16": v.bfloat16(), "every_second": torch.arange(10.0)[1::2]}
torch.save({"model": model}, "types.pth")
torch.save({"model": {"w": v}}, "legacy.pth", _use_new_zipfile_serialization=False)
torch.save(torch.nn.Linear(1, 1), "module.pth")
print(json.dumps({k: t.float().tolist() for k, t in model.items()}))
`,
  );
  const read = async (name: string) => openWeightFile(bytesSource(await readFile(join(folder, name))));
  const file = await read('types.pth');
  const { tensors } = await importWeights(file, { expected: file.entries.map(({ name, shape }) => ({ name, shape })) });
  const values = Object.fromEntries(tensors.map(({ name, data }) => [name, [...data]]));
  assert.deepEqual(values, JSON.parse(written));
  await assert.rejects(read('legacy.pth'), /legacy format/);
  await assert.rejects(read('module.pth'), /"torch\.nn\.modules\.linear\.Linear" is refused/);
});
