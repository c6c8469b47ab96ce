/** One model of each family through the services: it learns, a resumed run equals an undisturbed one, and its checkpoint scores alike anywhere. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { type Evaluation, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { type Evaluator, follow, lossesOf, type Trainer, TrainingServices } from '../../test/support/training-services.js';

let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
const parent = 'projects/p';
const soon = { timeoutMs: 60_000 };

before(async () => {
  services = await TrainingServices.open({ train: 96, test: 20 });
  const data = await services.data();
  trainer = (await services.trainer(['--data', data])).client;
  evaluator = (await services.evaluator(['--data', data])).client;
});
after(() => services.close());

async function score(checkpoint: string, engine: Engine): Promise<Evaluation> {
  const spec = { checkpoint, manifest: services.evalManifest, engine };
  const { evaluation } = await evaluator.createEvaluation({ parent, spec }, soon);
  let last: Evaluation | undefined;
  for await (const { evaluation: now } of evaluator.watchEvaluation({ name: evaluation!.name }, soon)) last = now;
  return last!;
}

const cases: Record<string, Partial<RunSpec>> = {
  mixer: { model: 'mixer_nano_p7', dropout: 0.05 },
  swin: { model: 'swin_nano_p2', dropPath: 0.1 },
  convnext: { model: 'convnext_nano_p2', dropPath: 0.1, layerScaleInitValue: 0.1, headInitScale: 0.5 },
  // Without gamma it has other parameters, which whoever reads the checkpoint must know.
  'convnext-without-gamma': { model: 'convnext_nano_p2', layerScaleInitValue: 0 },
};

for (const [family, part] of Object.entries(cases)) {
  test(`${family}: learns, resumes exactly, scores alike on both executors`, { timeout: 240_000 }, async () => {
    // Nothing that hides the stripes: they are learnt in a few epochs.
    const plain = { mixup: 0, cutmix: 0, aa: '', colorJitter: 0, reprob: 0, hflip: 0, smoothing: 0 };
    const spec = services.spec({ ...plain, epochs: 12, lr: 2e-3, saveCkptFreq: 6, seed: 3n, ...part });
    const whole = await trainer.createRun({ parent, runId: `${family}-whole`, spec }, soon);
    const losses = lossesOf(await follow(trainer, whole.run!.name));
    assert.equal(losses.length, 72);
    const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;
    assert.ok(mean(losses.slice(-6)) < 0.9 * mean(losses.slice(0, 6)), `the loss falls: ${losses}`);

    const { run } = await trainer.createRun({ parent, runId: `${family}-paused`, spec }, soon);
    const { name } = run!;
    await follow(trainer, name, ({ event }) => event?.$case === 'steps');
    await trainer.pauseRun({ name }, soon);
    await follow(trainer, name, ({ event }) => event?.$case === 'state' && event.value.state === RunState.PAUSED);
    await trainer.resumeRun({ name }, soon);
    const events = await follow(trainer, name);
    const resumed = events.flatMap(({ event }) => (event?.$case === 'resumed' ? [Number(event.value.fromStep)] : []));
    assert.ok(resumed.length === 1 && resumed[0]! > 0 && resumed[0]! < 72, `resumed from ${resumed}`);
    assert.deepEqual(lossesOf(events), losses);

    const { latestCheckpoint } = (await trainer.getRun({ name }, soon)).run!;
    const [native, tfjs] = [await score(latestCheckpoint, Engine.NATIVE), await score(latestCheckpoint, Engine.TFJS)];
    for (const { state, failure } of [native, tfjs]) assert.equal(state, EvaluationState.SUCCEEDED, failure);
    assert.deepEqual(native.result!.weights!.classSamples, [4n, 4n, 4n, 4n, 4n]);
    assert.ok(Math.abs(native.result!.weights!.loss - tfjs.result!.weights!.loss) < 1e-4);
    assert.ok(native.result!.weights!.top1 > 30, `better than chance: ${native.result!.weights!.top1}`);
  });
}
