/** A checkpoint file as the reference publishes them is evaluated on a folder like ImageNet's by one command. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadCheckpoint } from '#storage/checkpoint.js';
import type { Tensor } from '#storage/tensor.js';
import { PthTensor, PyNamespace, type PyValue, writePth } from '../../test/support/pth-writer.js';
import { runCommandLine } from '../../test/support/run-command-line.js';
import { writeImageFolder } from '../../test/support/sample-datasets.js';
import { follow, TrainingServices } from '../../test/support/training-services.js';
import { exitCodes } from './exit-codes.js';

let services: TrainingServices;
let addresses: { readonly trainer: string; readonly evaluator: string };
let checkpoint: string;
let weights: readonly Tensor[];
let ema: readonly Tensor[];
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
/** Labels follow the sorted names of the folders, as in ImageNet. */
const classes = ['n01440764', 'n01443537', 'n01484850', 'n01491361', 'n01494475'];

before(async () => {
  services = await TrainingServices.open();
  const data = await services.data();
  const evaluator = await services.evaluator(['--data', data]);
  const trainer = await services.trainer(['--data', data]);
  addresses = { trainer: `127.0.0.1:${trainer.service.port}`, evaluator: evaluator.address };
  const imagenet = join(services.folder, 'imagenet');
  writeImageFolder(join(imagenet, 'train'), { classes, perClass: 8, size: 72 });
  writeImageFolder(join(imagenet, 'val'), { classes, perClass: 6, size: 72 });
  const trainManifest = await services.index(join(imagenet, 'train'));
  const spec = services.spec({ model: 'vit_micro_p8', trainManifest, epochs: 2, lr: 5e-3, modelEma: true, modelEmaDecay: 0.5 });
  const { run } = await trainer.client.createRun({ parent, runId: 'made', spec }, soon);
  await follow(trainer.client, run!.name);
  checkpoint = (await trainer.client.getRun({ name: run!.name }, soon)).run!.latestCheckpoint;
  const { tensors } = await loadCheckpoint(services.store, await services.manifestKeyOf(checkpoint), { groups: ['weights', 'ema'] });
  [weights, ema] = [tensors.weights!, tensors.ema!];
});
after(() => services.close());

const stateDict = (tensors: readonly Tensor[]): Map<PyValue, PyValue> =>
  new Map(tensors.map(({ name, shape, data }): [PyValue, PyValue] => [name, new PthTensor('F32', shape, data)]));

/** The form of the reference's files: the model, its moving average, and what else a training saves. */
async function writeFileOf(name: string, more: Readonly<Record<string, PyValue>>): Promise<void> {
  const optimizer = { state: new Map(), param_groups: [{ lr: 0.001, weight_decay: 0.05, params: [0, 1] }] };
  const args = new PyNamespace({ model: 'vit_micro_p8', epochs: 300, drop_path: 0.1 });
  await writeFile(join(services.folder, name), writePth({ model: stateDict(weights), optimizer, epoch: 299, args, ...more }));
}

function evaluate(...argv: string[]) {
  const env = {
    DROPSTREAM_STORE: services.storeUri,
    DROPSTREAM_TRAINER: addresses.trainer,
    DROPSTREAM_EVALUATOR: addresses.evaluator,
    DROPSTREAM_HOME: services.folder,
  };
  const line = ['--model', 'vit_micro_p8', '--data_path', 'imagenet', '--project', 'p'];
  return runCommandLine(['train', '--eval', 'true', ...line, ...argv], { env, cwd: services.folder });
}

test('one command prints the scores of the weights and of the moving average on val/', { timeout: 120_000 }, async () => {
  await writeFileOf('published.pth', { model_ema: stateDict(ema), scaler: {} });
  const own = await evaluate('--resume', checkpoint, '--model_ema_eval', 'true');
  assert.equal(own.code, 0, own.err);
  assert.match(own.out, /^OF +TOP-1 +TOP-5 +LOSS\nweights .*\nema /);
  assert.match(own.err, /evaluation images: 30 in 5 classes/);

  const both = await evaluate('--resume', 'published.pth', '--model_ema_eval', 'true');
  assert.equal(both.code, 0, both.err);
  assert.equal(both.out, own.out);

  const alone = await evaluate('--resume', 'published.pth');
  assert.equal(alone.code, 0, alone.err);
  assert.equal(alone.out.trim(), own.out.split('\n').slice(0, 2).join('\n').trim());
  assert.match(alone.err, /has a moving average, too: --model_ema_eval true evaluates both/);
});

test('a file without a moving average, and one of another model, are refused with the reason', { timeout: 120_000 }, async () => {
  await writeFileOf('plain.pth', {});
  const none = await evaluate('--resume', 'plain.pth', '--model_ema_eval', 'true');
  assert.equal(none.code, exitCodes.usage, none.err);
  assert.match(
    none.err,
    /model_ema_eval is "true", must be left out, because the file has no model_ema: its keys are model, optimizer, epoch, args/,
  );
  await writeFileOf('broken.pth', { model_ema: stateDict(ema.slice(1)) });
  const broken = await evaluate('--resume', 'broken.pth', '--model_ema_eval', 'true');
  assert.equal(broken.code, exitCodes.failure, broken.err);
  assert.match(broken.err, new RegExp(`${ema[0]!.name.replaceAll('.', '\\.')} +missing`));
});
