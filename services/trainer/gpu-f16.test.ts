/** Runs with precision f16: steps whose gradient overflows are skipped, recorded and not counted, and a resumed run scales as an undisturbed one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile, type LossScaling, type Program } from '#engine/index.js';
import { Engine, Precision } from '#protocol/dropstream/v1/engine_types.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import { type RunEvent, RunState, type StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { readManifest } from '#storage/checkpoint.js';
import { readTrainingMetadata } from '#training/checkpoint-metadata.js';
import type { PreparedBatch } from '#training/prepared-batches.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { follow, lossesOf, TrainingServices } from '../../test/support/training-services.js';
import { noF16 } from '../../test/support/webgpu-kernel.js';
import { modelCatalog } from './run/model-catalog.js';
import { resolveRunSpec } from './run/run-spec.js';
import { trainSteps } from './worker/run-loop.js';
import { wholeSteps } from './worker/whole-steps.js';

const skip = withoutExecutor('webgpu') || noF16;
const [size, classes, samples] = [28, 3, 2];
const shapes = { imageSize: size, classes, batch: samples };
const asked = {
  model: 'vit_nano_p7',
  inputSize: size,
  engine: Engine.WEBGPU,
  precision: Precision.F16,
  mixup: 0,
  cutmix: 0,
  modelEma: true,
};
const spec = resolveRunSpec(RunSpec.fromPartial(asked), modelCatalog, { samples: 100, classes: ['a', 'b', 'c'] });

const batch: PreparedBatch = {
  samples,
  images: Float32Array.from({ length: samples * 3 * size * size }, (_, i) => Math.sin(i)),
  targets: Float32Array.of(1, 0, 0, 0, 0, 1),
  labels: Uint32Array.of(0, 2),
  sha256: new Uint8Array(32),
  replaced: [],
  release: () => undefined,
};
const steps = 10;
/** So large that the gradients of some steps overflow. */
const high: LossScaling = { scale: 2 ** 22, steadySteps: 0, skippedSteps: 0 };

const compiled = () => compile('vit_nano_p7', shapes, { executor: 'webgpu', precision: 'f16' });

async function trained(program: Program, fromStep: number, toStep: number, before: LossScaling) {
  let lossScaling: LossScaling | undefined = before;
  const all: StepMetrics[] = [];
  const options = {
    ...{ program, stepsPerEpoch: steps, fromStep, toStep, signal: AbortSignal.timeout(120_000) },
    compute: wholeSteps({ program, spec, dropKind: DropKind.DROP_PATH, lossScaling, batches: { next: async () => batch } }),
    rates: () => ({ lr: 1e-2, weightDecay: 0.05, dropRate: 0.1 }),
  };
  for await (const step of trainSteps(options)) {
    lossScaling = step.lossScaling;
    all.push(step.metrics);
  }
  return { all, lossScaling: lossScaling! };
}

/** Without what depends on the clock. */
const timeless = (all: readonly StepMetrics[]) => all.map(({ dataWaitSeconds, stepSeconds, ...rest }) => rest);

test('steps that overflow are recorded and halve the factor; the optimizer does not count them; a resumed training has equal bits', {
  skip,
  timeout: 240_000,
}, async () => {
  const whole = await compiled();
  await whole.initialize(1n);
  const initial = await whole.exportState({ ema: true });
  const { all, lossScaling } = await trained(whole, 0, steps, high);
  const skipped = all.filter((step) => step.skipped).length;
  assert.ok(skipped > 1 && skipped < steps, `${skipped} steps were skipped`);
  assert.deepEqual(
    all.map((step) => [step.skipped, step.lossScale]),
    all.map((_, k) => [k < skipped, high.scale / 2 ** Math.min(k, skipped)]),
  );
  for (const { skipped: none, gradNorm } of all) assert.ok(none ? gradNorm === 0 : gradNorm > 0);
  assert.deepEqual(lossScaling, { scale: high.scale / 2 ** skipped, steadySteps: steps - skipped, skippedSteps: skipped });

  // The first step that is not skipped is the optimizer's first.
  const parts = await compiled();
  await parts.importState(initial);
  const first = await trained(parts, 0, skipped, high);
  const { weights, first_moment } = await parts.exportState({ ema: false });
  assert.deepEqual({ weights, first_moment }, { weights: initial.weights, first_moment: initial.first_moment });
  await trained(parts, skipped, skipped + 1, first.lossScaling);
  for (const { data } of (await parts.exportState({ ema: false })).first_moment) assert.ok(data.some((value) => value !== 0));
  let moved = 0;
  for (const [k, { data }] of (await parts.exportState({ ema: false })).weights.entries())
    for (const [i, value] of data.entries()) moved = Math.max(moved, Math.abs(value - initial.weights[k]!.data[i]!));
  // AdamW's first step moves a weight by the learning rate, in whose bias correction the step is 1; a weight's decay moves it by less.
  assert.ok(moved <= 1.05e-2 && moved > 0.95e-2, `moved by ${moved}`);

  // In the middle of the skipped steps, and behind them: as from a checkpoint, whose metadata are JSON.
  for (const middle of [1, skipped + 2]) {
    await parts.importState(initial);
    const before = await trained(parts, 0, middle, high);
    const state = await parts.exportState({ ema: true });
    const resumed = await compiled();
    await resumed.importState(state);
    const after = await trained(resumed, middle, steps, JSON.parse(JSON.stringify(before.lossScaling)) as LossScaling);
    assert.deepEqual(timeless([...before.all, ...after.all]), timeless(all));
    assert.deepEqual(after.lossScaling, lossScaling);
    assert.deepEqual(await resumed.exportState({ ema: true }), await whole.exportState({ ema: true }));
    resumed.dispose();
  }
  parts.dispose();
  whole.dispose();
});

const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
const stepsOf = (events: readonly RunEvent[]) => events.flatMap(({ event }) => (event?.$case === 'steps' ? event.value.steps : []));

test('a run in f16 that moves to another worker has the losses of an undisturbed one, and its checkpoints the state of the scaling', {
  skip,
  timeout: 240_000,
}, async (t) => {
  const services = await TrainingServices.open();
  t.after(() => services.close());
  const data = await services.data();
  const { client } = await services.trainer(['--role', 'api']);
  const run = services.spec({ engine: Engine.WEBGPU, precision: Precision.F16, saveCkptFreq: 1, epochs: 3, exact: true });
  const create = async (runId: string) => (await client.createRun({ parent, runId, spec: run }, soon)).run!.name;
  const worker = await services.trainer(['--role', 'worker', '--data', data]);
  const calm = await follow(client, await create('calm'), undefined, 120_000);
  assert.ok(stepsOf(calm).every(({ lossScale, skipped }) => lossScale === 65536 && !skipped));

  const name = await create('moved');
  await follow(client, name, ({ event }) => event?.$case === 'checkpoint', 120_000);
  await worker.service.close();
  await services.trainer(['--role', 'worker', '--data', data]);
  const events = await follow(client, name, undefined, 120_000);
  const { state, latestCheckpoint, totalSteps } = (await client.getRun({ name }, soon)).run!;
  assert.equal(state, RunState.SUCCEEDED);
  assert.deepEqual(lossesOf(events), lossesOf(calm));
  const { manifest } = await readManifest(services.store, await services.manifestKeyOf(latestCheckpoint));
  assert.match(manifest.fingerprint, /^webgpu\/f16\//);
  const { lossScaling } = readTrainingMetadata(latestCheckpoint, manifest.metadata);
  assert.deepEqual(lossScaling, { scale: 65536, steadySteps: Number(totalSteps), skippedSteps: 0 });
});

test('f16 is refused with its field on every other engine, before a run exists', async (t) => {
  const services = await TrainingServices.open();
  t.after(() => services.close());
  const { client } = await services.trainer(['--role', 'api']);
  const several = services.spec({
    engine: Engine.WEBGPU,
    precision: Precision.F16,
    updateFreq: 2,
    gradientLeaves: 2,
    workers: { min: 1, max: 2 },
  });
  await assert.rejects(
    client.createRun({ parent, runId: 'f16', spec: several }, soon),
    /spec\.workers\.max is .*must be 1 with precision f16/,
  );
  for (const engine of [Engine.NATIVE, Engine.AUTO, Engine.TFJS]) {
    const run = services.spec({ engine, precision: Precision.F16 });
    await assert.rejects(
      client.createRun({ parent, runId: 'f16', spec: run }, soon),
      /spec\.precision is "f16", must be fp32( or bf16)? on engine/,
    );
  }
});
