/** A model of each family on photographs (CIFAR-10 as folders of JPEGs) through data, trainer and evaluator. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { compile } from '#engine/index.js';
import { bytesSource } from '#interchange/byte-source.js';
import { exportWeights } from '#interchange/export-weights.js';
import { importWeights } from '#interchange/import-weights.js';
import { openWeightFile } from '#interchange/weight-file.js';
import { decode } from '#native/pixels.js';
import { EvaluationState, type Scores } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { loadCheckpoint } from '#storage/checkpoint.js';
import { encodeSafetensors } from '#storage/safetensors.js';
import { withoutExecutor } from '../support/executors.js';
import { sharedPath } from '../support/shared-folder.js';
import { type Evaluator, follow, lossesOf, type Trainer, TrainingServices } from '../support/training-services.js';

const archive = sharedPath('data', 'cifar10-jpeg.tar.gz');
const skip = archive === undefined ? 'the shared images are not beside this working copy (DROPSTREAM_SHARED)' : withoutExecutor('native');
const [imageSize, classes] = [32, 10];
const parent = 'projects/p';
const soon = { timeoutMs: 60_000 };
let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
let [trainManifest, evalManifest] = ['', ''];

before(async () => {
  if (skip) return;
  services = await TrainingServices.open({ train: 8, test: 8 });
  const folder = join(services.folder, 'cifar');
  mkdirSync(folder);
  // Of each class 20 images to train on and 10 to score.
  execFileSync('tar', ['-xzf', archive!, '-C', folder, '--wildcards', 'train/*/000?.jpg', 'train/*/001?.jpg', 'test/*/000?.jpg']);
  trainManifest = await services.index(join(folder, 'train'));
  evalManifest = await services.index(join(folder, 'test'));
  const data = await services.data();
  trainer = (await services.trainer(['--data', data])).client;
  evaluator = (await services.evaluator(['--data', data])).client;
});
after(() => services?.close());

async function score(checkpoint: string): Promise<Scores> {
  const { evaluation } = await evaluator.createEvaluation({ parent, spec: { checkpoint, manifest: evalManifest } }, soon);
  for await (const { evaluation: now } of evaluator.watchEvaluation({ name: evaluation!.name }, soon)) {
    if (now?.state === EvaluationState.SUCCEEDED) return now.result!.weights!;
    assert.notEqual(now?.state, EvaluationState.FAILED, now?.failure);
  }
  throw new Error(`no scores of ${checkpoint}`);
}

const weightsOf = async (checkpoint: string) =>
  (await loadCheckpoint(services.store, await services.manifestKeyOf(checkpoint), { groups: ['weights', 'optimizer', 'ema'] })).tensors;

/** Loss and right predictions in percent from the files alone: pixels, normalisation and scores by hand, weights through an export. */
async function recompute(checkpoint: string, model: string): Promise<{ loss: number; top1: number }> {
  const exported = exportWeights((await weightsOf(checkpoint)).weights!, model, 'timm', 'float32');
  const root = join(services.folder, 'cifar', 'test');
  const files = readdirSync(root)
    .sort()
    .flatMap((name, label) => readdirSync(join(root, name)).map((file) => ({ path: join(root, name, file), label })));
  const images = new Float32Array(files.length * 3 * imageSize ** 2);
  const [mean, std] = [
    [0.485, 0.456, 0.406],
    [0.229, 0.224, 0.225],
  ];
  for (const [k, { path }] of files.entries()) {
    const { width, height, rgb } = await decode({ format: 'jpeg', bytes: readFileSync(path), width: imageSize, height: imageSize });
    assert.deepEqual([width, height], [imageSize, imageSize]);
    const plane = imageSize ** 2;
    for (let i = 0; i < 3 * plane; i++) {
      const channel = Math.floor(i / plane);
      images[3 * plane * k + i] = (rgb[3 * (i % plane) + channel]! / 255 - mean[channel]!) / std[channel]!;
    }
  }
  const program = await compile(model, { imageSize, classes, batch: files.length }, { executor: 'native' });
  try {
    const expected = program.parameters.map(({ name, shape }) => ({ name, shape: [...shape] }));
    const file = await openWeightFile(bytesSource(Buffer.concat(encodeSafetensors(exported))));
    for (const { name, data } of (await importWeights(file, { expected })).tensors)
      await program.write('weights', name, data as Float32Array);
    const targets = new Float32Array(files.length * classes);
    const { logits } = await program.evaluate({ images, targets, samples: files.length });
    let [loss, right] = [0, 0];
    for (const [k, { label }] of files.entries()) {
      const row = [...logits.subarray(k * classes, (k + 1) * classes)];
      const most = Math.max(...row);
      loss += most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0)) - row[label]!;
      if (row.indexOf(most) === label) right++;
    }
    return { loss: loss / files.length, top1: (100 * right) / files.length };
  } finally {
    program.dispose();
  }
}

const cases: Record<string, Partial<RunSpec> & { model: string }> = {
  ViT: { model: 'vit_micro_p4', dropout: 0.1 },
  Mixer: { model: 'mixer_micro_p4', dropout: 0.1 },
  Swin: { model: 'swin_micro_p2_w4', dropPath: 0.1 },
  ConvNeXt: { model: 'convnext_micro_p2', dropPath: 0.1, layerScaleInitValue: 0.1 },
};

for (const [family, part] of Object.entries(cases)) {
  test(`${family} on photographs: the loss falls, a resume is exact, scores are those of the exported file`, {
    skip,
    timeout: 120_000,
  }, async () => {
    const plain = { mixup: 0, cutmix: 0, reprob: 0, aa: '', colorJitter: 0, smoothing: 0 };
    const drop = { dropMode: DropMode.EARLY, dropSchedule: DropSchedule.LINEAR, cutoffEpoch: 2, modelEma: true, modelEmaDecay: 0.9 };
    const spec = services.spec({
      ...plain,
      ...drop,
      trainManifest,
      batchSize: 20,
      epochs: 4,
      lr: 2e-3,
      saveCkptFreq: 4,
      seed: 3n,
      ...part,
    });
    const runId = family.toLowerCase();
    const whole = await trainer.createRun({ parent, runId, spec }, soon);
    const losses = lossesOf(await follow(trainer, whole.run!.name));
    assert.equal(losses.length, 40);
    const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;
    const [first, last] = [mean(losses.slice(0, 10)), mean(losses.slice(-10))];
    assert.ok(last < 0.95 * first, `the loss falls, from ${first} to ${last}`);

    const { name } = (await trainer.createRun({ parent, runId: `${runId}-paused`, spec }, soon)).run!;
    await follow(trainer, name, ({ event }) => event?.$case === 'steps');
    await trainer.pauseRun({ name }, soon);
    await follow(trainer, name, ({ event }) => event?.$case === 'state' && event.value.state === RunState.PAUSED);
    await trainer.resumeRun({ name }, soon);
    const events = await follow(trainer, name);
    const resumed = events.flatMap(({ event }) => (event?.$case === 'resumed' ? [Number(event.value.fromStep)] : []));
    assert.ok(resumed.length === 1 && resumed[0]! > 0 && resumed[0]! < 40, `resumed from ${resumed}`);
    assert.deepEqual(lossesOf(events), losses);

    const checkpointOf = async (run: string) => (await trainer.getRun({ name: run }, soon)).run!.latestCheckpoint;
    const [undisturbed, after] = [await checkpointOf(whole.run!.name), await checkpointOf(name)];
    assert.deepEqual(await weightsOf(after), await weightsOf(undisturbed), 'weights, moments and average, bit for bit');

    const [scores, expected] = [await score(after), await recompute(after, part.model)];
    assert.equal(scores.top1, expected.top1);
    assert.ok(Math.abs(scores.loss - expected.loss) < 1e-5, `loss ${scores.loss}, recomputed ${expected.loss}`);
  });
}
