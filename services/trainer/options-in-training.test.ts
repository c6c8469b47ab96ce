import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { loadCheckpoint } from '#storage/checkpoint.js';
import { writeImageFolder } from '../../test/support/sample-datasets.js';
import { follow, lossesOf, type Scheduler, type Trainer, TrainingServices } from '../../test/support/training-services.js';

let services: TrainingServices;
let trainer: Trainer;
let scheduler: Scheduler;
let adminPort: number;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  const data = await services.data();
  const started = await services.scheduler();
  scheduler = started.client;
  const { client, service } = await services.trainer(['--data', data, '--scheduler', started.address, '--workers', '2']);
  trainer = client;
  adminPort = service.adminPort;
});
after(() => services.close());

const stepsOf = (events: readonly RunEvent[]) => events.flatMap(({ event }) => (event?.$case === 'steps' ? event.value.steps : []));
const stateOf = async (name: string) => (await trainer.getRun({ name }, soon)).run!;

test('a named schedule is pinned at creation and decides the rates', { timeout: 60_000 }, async () => {
  const spec = { kind: DropKind.DROP_PATH, rate: 0.3, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 1 };
  await scheduler.createSchedule({ parent, scheduleId: 'early', spec }, soon);
  const { run } = await trainer.createRun(
    { parent, runId: 'pinned', spec: services.spec({ schedule: 'projects/p/schedules/early' }) },
    soon,
  );
  assert.deepEqual([run?.spec?.scheduleRevision, run?.spec?.dropPath, run?.spec?.dropMode], [1n, 0.3, DropMode.EARLY]);
  const steps = stepsOf(await follow(trainer, run!.name));
  assert.deepEqual(
    steps.map(({ dropRate }) => dropRate),
    [0, 1, 2, 3, 4, 5].map((i) => 0.3 * (1 - i / 5)).concat([0, 0, 0, 0, 0, 0]),
  );
  await assert.rejects(trainer.createRun({ parent, spec: services.spec({ schedule: 'projects/p/schedules/none' }) }, soon), {
    name: 'NotFound',
  });
});

test('a schedule of dropout is refused for a ConvNeXt, which has none', async () => {
  const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.STANDARD, schedule: DropSchedule.CONSTANT, cutoffEpoch: 0 };
  await scheduler.createSchedule({ parent, scheduleId: 'of-dropout', spec }, soon);
  const asked = services.spec({ model: 'convnext_nano_p2', schedule: 'projects/p/schedules/of-dropout' });
  await assert.rejects(trainer.createRun({ parent, spec: asked }, soon), (error: Error) =>
    /spec\.schedule is .*of-dropout.* must be a schedule of drop_path/.test(error.message),
  );
});

test('a followed schedule changes the rate from a step that the log names first', { timeout: 60_000 }, async () => {
  const name = 'projects/p/schedules/live';
  const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.STANDARD, schedule: DropSchedule.CONSTANT, cutoffEpoch: 0 };
  await scheduler.createSchedule({ parent, scheduleId: 'live', spec }, soon);
  const { run } = await trainer.createRun(
    { parent, runId: 'live', spec: services.spec({ schedule: name, followSchedule: true, epochs: 200, saveCkptFreq: 200 }) },
    soon,
  );
  await follow(trainer, run!.name, ({ event }) => event?.$case === 'steps');
  await scheduler.updateSchedule({ name, spec: { ...spec, rate: 0.25 } }, soon);
  const events = await follow(trainer, run!.name, ({ event }) => event?.$case === 'steps' && event.value.steps.at(-1)!.dropRate === 0.25);
  await trainer.cancelRun({ name: run!.name }, soon);
  const at = events.findIndex(({ event }) => event?.$case === 'scheduleChanged');
  const change = events[at]?.event;
  assert.ok(change?.$case === 'scheduleChanged');
  assert.equal(change.value.revision, 2n);
  for (const { step, dropRate } of stepsOf(events)) assert.equal(dropRate, step < change.value.effectiveStep ? 0.1 : 0.25);
  assert.ok(
    stepsOf(events.slice(0, at)).every(({ step }) => step < change.value.effectiveStep),
    'the record stands before the first step that uses it',
  );
});

test('samples that cannot be decoded are named; more than the share that is accepted ends the run', { timeout: 60_000 }, async () => {
  const folder = join(services.folder, 'folders');
  mkdirSync(folder);
  const paths = writeImageFolder(folder, { perClass: 8 });
  const broken = join(folder, paths[3]!);
  const bytes = readFileSync(broken);
  // The header stays sound, so that it is indexed as it is; its pixels are not.
  bytes.fill(0x55, 60, bytes.length - 16);
  writeFileSync(broken, bytes);
  const trainManifest = await services.index(folder);
  const spec = services.spec({ trainManifest, batchSize: 8, inputSize: 35 });
  const patient = await trainer.createRun({ parent, runId: 'patient', spec: { ...spec, maxUndecodable: 0.1 } }, soon);
  const strict = await trainer.createRun({ parent, runId: 'strict', spec }, soon);
  const events = await follow(trainer, patient.run!.name);
  const skipped = events.flatMap(({ event }) => (event?.$case === 'dataSkipped' ? [event.value] : []));
  assert.deepEqual(skipped, [{ paths: [paths[3]!], total: 1n }]);
  assert.equal((await stateOf(patient.run!.name)).state, RunState.SUCCEEDED);
  await follow(trainer, strict.run!.name);
  const failed = await stateOf(strict.run!.name);
  assert.equal(failed.state, RunState.FAILED);
  assert.ok(failed.failure.includes(paths[3]!), failed.failure);
  assert.equal(failed.attempt, 1);
});

test('finetuning takes every weight but a head of another shape', { timeout: 60_000 }, async () => {
  const first = await trainer.createRun({ parent, runId: 'base', spec: services.spec() }, soon);
  await follow(trainer, first.run!.name);
  const finetune = (await stateOf(first.run!.name)).latestCheckpoint;
  // A learning rate of 0 keeps what was loaded.
  const spec = services.spec({ finetune, nbClasses: 7, lr: 0, minLr: 0, epochs: 1, seed: 3n });
  const second = await trainer.createRun({ parent, runId: 'tuned', spec }, soon);
  await follow(trainer, second.run!.name);
  const load = async (name: string) => {
    const { tensors } = await loadCheckpoint(services.store, await services.manifestKeyOf(name), { groups: ['weights'] });
    return new Map(tensors.weights!.map(({ name: key, data }) => [key, data]));
  };
  const [base, tuned] = [await load(finetune), await load((await stateOf(second.run!.name)).latestCheckpoint)];
  for (const [key, values] of base) {
    if (key.startsWith('head.')) assert.notEqual(values.length, tuned.get(key)?.length);
    else assert.deepEqual(tuned.get(key), values, key);
  }
  const other = await trainer.createRun({ parent, runId: 'other', spec: services.spec({ finetune, model: 'vit_micro_p4' }) }, soon);
  await follow(trainer, other.run!.name);
  assert.match(
    (await stateOf(other.run!.name)).failure,
    /^FinetuneMismatch: cannot finetune from .*\n {2}PARAMETER .*\bpos_embed +shape +\[1, 17, 64\] +\[1, 65, 128\]/s,
  );
});

test('accumulation over micro-batches is the same step as one large batch, without mixing', { timeout: 60_000 }, async () => {
  // The noise of erasing is keyed by the row in a micro-batch.
  const plain = { mixup: 0, cutmix: 0, reprob: 0, epochs: 1 };
  const losses: number[][] = [];
  for (const [runId, part] of Object.entries({ one: { batchSize: 32 }, four: { batchSize: 8, updateFreq: 4 } })) {
    const { run } = await trainer.createRun({ parent, runId, spec: services.spec({ ...plain, ...part }) }, soon);
    losses.push(lossesOf(await follow(trainer, run!.name)));
  }
  assert.equal(losses[0]?.length, 3);
  for (const [k, loss] of losses[0]!.entries())
    assert.ok(Math.abs(loss - losses[1]![k]!) < 1e-5, `${loss} and ${losses[1]![k]} at step ${k}`);
});

test('held-out samples are never trained on, and evaluated where the same manifest is named', async () => {
  const { run } = await trainer.createRun(
    { parent, runId: 'held', spec: services.spec({ holdoutStride: 4, evalManifest: services.trainManifest }), validateOnly: true },
    soon,
  );
  assert.equal(run?.stepsPerEpoch, 4n, '72 of 96 samples, 16 in a step');
});

test('only the newest checkpoints stay', { timeout: 60_000 }, async () => {
  const { run } = await trainer.createRun({ parent, runId: 'kept', spec: services.spec({ epochs: 6, saveCkptNum: 2 }) }, soon);
  await follow(trainer, run!.name);
  const { checkpoints } = await trainer.listCheckpoints({ parent: run!.name }, soon);
  assert.deepEqual(
    checkpoints.map(({ step }) => Number(step)),
    [36, 30],
  );
  const page = await trainer.listCheckpoints({ parent: run!.name, pageSize: 1 }, soon);
  assert.deepEqual([page.checkpoints[0]?.step, page.nextPageToken === ''], [36n, false]);
  const next = await trainer.listCheckpoints({ parent: run!.name, pageSize: 1, pageToken: page.nextPageToken }, soon);
  assert.deepEqual([next.checkpoints[0]?.step, next.nextPageToken], [30n, '']);
});

test("a run's series are there while it trains and gone when it has ended", { timeout: 60_000 }, async () => {
  const page = async () => await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const { run } = await trainer.createRun({ parent, runId: 'measured', spec: services.spec({ epochs: 400, saveCkptFreq: 400 }) }, soon);
  await follow(trainer, run!.name, ({ event }) => event?.$case === 'steps');
  const during = await page();
  for (const name of ['loss', 'learning_rate', 'drop_rate', 'gradient_norm', 'last_step_timestamp_seconds']) {
    assert.match(during, new RegExp(`dropstream_run_${name}\\{project="p",run="measured"\\} [0-9]`));
  }
  assert.match(during, /dropstream_trainer_images_total [1-9]/);
  await trainer.cancelRun({ name: run!.name }, soon);
  for (let tries = 0; (await page()).includes('run="measured"'); tries++) {
    assert.ok(tries < 100, 'its series are still there');
    await new Promise((done) => setTimeout(done, 50));
  }
});
