import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { loadCheckpoint } from '#storage/checkpoint.js';
import { decodeSafetensors } from '#storage/safetensors.js';
import type { Tensor } from '#storage/tensor.js';
import { PthTensor, type PyValue, writePth } from '../../test/support/pth-writer.js';
import { runCommandLine } from '../../test/support/run-command-line.js';
import { type Evaluator, follow, type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { exitCodes } from './exit-codes.js';

let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
let trainerAddress: string;
let trained: string;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  const data = await services.data();
  const started = await services.trainer(['--data', data, '--workers', '1']);
  trainer = started.client;
  trainerAddress = `127.0.0.1:${started.service.port}`;
  ({ client: evaluator } = await services.evaluator(['--data', data]));
  const { run } = await trainer.createRun(
    { parent, runId: 'base', spec: services.spec({ epochs: 1, modelEma: true, modelEmaDecay: 0.5 }) },
    soon,
  );
  await follow(trainer, run!.name);
  trained = (await trainer.getRun({ name: run!.name }, soon)).run!.latestCheckpoint;
});
after(() => services.close());

function cli(...argv: string[]) {
  const env = { DROPSTREAM_STORE: services.storeUri, DROPSTREAM_TRAINER: trainerAddress, DROPSTREAM_HOME: services.folder };
  return runCommandLine(['checkpoints', ...argv, '--project', 'p'], { env, cwd: services.folder });
}

const fileTensors = async (name: string) => decodeSafetensors(new Uint8Array(await readFile(join(services.folder, name))));
const stored = async (checkpoint: string) =>
  (await loadCheckpoint(services.store, await services.manifestKeyOf(checkpoint), { groups: ['weights', 'ema'] })).tensors;
const byName = (tensors: readonly Tensor[]) => Object.fromEntries(tensors.map(({ name, data }) => [name, [...(data as Float32Array)]]));
const score = async (checkpoint: string) => {
  const { evaluation } = await evaluator.createEvaluation({ parent, spec: { checkpoint, manifest: services.evalManifest } }, soon);
  for (;;) {
    const now = (await evaluator.getEvaluation({ name: evaluation!.name }, soon)).evaluation!;
    assert.notEqual(now.state, EvaluationState.FAILED, now.failure);
    if (now.state === EvaluationState.SUCCEEDED) return now.result!.weights;
    await new Promise((done) => setTimeout(done, 50));
  }
};

test('a checkpoint leaves as a file, comes back, is evaluated and trained on from', { timeout: 120_000 }, async () => {
  const left = await cli('export', 'base/latest', '--out', 'base.safetensors', '--json');
  assert.equal(left.code, 0, left.err);
  assert.equal(JSON.parse(left.out).checkpoint, trained);
  const file = await fileTensors('base.safetensors');
  assert.deepEqual(byName(file.tensors), byName((await stored(trained)).weights!));
  assert.deepEqual([file.metadata.model, file.metadata.names, file.metadata.format], ['vit_nano_p7', 'timm', 'pt']);

  const ema = await cli('export', trained, '--ema', '--format', 'reference', '--out', 'ema.safetensors');
  assert.equal(ema.code, 0, ema.err);
  assert.deepEqual(byName((await fileTensors('ema.safetensors')).tensors), byName((await stored(trained)).ema!));

  const back = await cli('import', 'base.safetensors', '--model', 'vit_nano_p7', '--manifest', services.evalManifest, '--json');
  assert.equal(back.code, 0, back.err);
  const imported = JSON.parse(back.out).checkpoint as string;
  assert.match(imported, /^projects\/p\/runs\/imported-vit-nano-p7-[0-9a-f]{8}\/checkpoints\/0{12}-[0-9a-f]{8}$/);
  assert.deepEqual(byName((await stored(imported)).weights!), byName((await stored(trained)).weights!));
  assert.deepEqual(await score(imported), await score(trained));

  const spec = services.spec({ finetune: imported, lr: 0, minLr: 0, epochs: 1, weightDecay: 0 });
  const { run } = await trainer.createRun({ parent, runId: 'tuned', spec }, soon);
  await follow(trainer, run!.name);
  const tuned = (await trainer.getRun({ name: run!.name }, soon)).run!.latestCheckpoint;
  assert.deepEqual(byName((await stored(tuned)).weights!), byName((await stored(trained)).weights!));
});

test('half floats, refusals and files', { timeout: 60_000 }, async () => {
  assert.equal((await cli('export', trained, '--dtype', 'bfloat16', '--out', 'half.safetensors')).code, 0);
  assert.ok((await fileTensors('half.safetensors')).tensors.every(({ dtype }) => dtype === 'BF16'));
  const again = await cli('export', trained, '--out', 'half.safetensors');
  assert.deepEqual([again.code, /exists already/.test(again.err)], [exitCodes.conflict, true]);
  const nothing = await cli('export', 'base/000000000099-00000000', '--out', 'none.safetensors');
  assert.equal(nothing.code, exitCodes.notFound, nothing.err);
  await assert.rejects(readFile(join(services.folder, 'none.safetensors')), { code: 'ENOENT' });

  const weights = (await stored(trained)).weights!;
  const tensors = weights.map(({ name, shape, data }): [PyValue, PyValue] => [name, new PthTensor('F32', shape, data)]);
  await writeFile(join(services.folder, 'own.pth'), writePth({ model: new Map(tensors), epoch: 3 }));
  const taken = await cli('import', 'own.pth', '--model', 'vit_nano_p7', '--nb-classes', '5', '--out', 'own.safetensors');
  assert.equal(taken.code, 0, taken.err);
  assert.deepEqual(byName((await fileTensors('own.safetensors')).tensors), byName(weights));

  const other = await cli('import', 'own.pth', '--model', 'vit_nano_p7', '--nb-classes', '7');
  assert.equal(other.code, exitCodes.failure);
  assert.match(other.err, /2 parameters differ:\n {2}PARAMETER +PROBLEM .*\n {2}head\.weight +shape +\[5, 64\] +\[7, 64\]/);
  for (const [argv, code, why] of [
    [['own.pth', '--model', 'vit_nano_p7', '--nb-classes', '5', '--run', 'base'], exitCodes.conflict, /trained here/],
    [['own.pth', '--model', 'vit_nano_p7', '--nb-classes', 'five'], exitCodes.usage, /nb_classes/],
    [['own.pth', '--model', 'vit_none'], exitCodes.failure, /vit_none/],
    [['missing.pth', '--model', 'vit_nano_p7'], exitCodes.failure, /ENOENT/],
  ] as [string[], number, RegExp][]) {
    const refused = await cli('import', ...argv);
    assert.equal(refused.code, code, refused.err);
    assert.match(refused.err, why);
  }
});
