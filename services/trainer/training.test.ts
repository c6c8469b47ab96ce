import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Optimizer } from '#protocol/dropstream/v1/run_spec.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { type Evaluator, follow, lossesOf, type Trainer, TrainingServices } from '../../test/support/training-services.js';

let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  const data = await services.data();
  const started = await services.evaluator(['--data', data]);
  evaluator = started.client;
  trainer = (await services.trainer(['--data', data, '--evaluator', started.address])).client;
});
after(() => services.close());

test('a run trains, is evaluated at every epoch, and succeeds', { timeout: 120_000 }, async () => {
  const spec = services.spec({ evalManifest: services.evalManifest, modelEma: true, modelEmaEval: true, modelEmaDecay: 0.9, dropout: 0.1 });
  const { run } = await trainer.createRun({ parent, runId: 'whole', spec }, soon);
  assert.equal(run?.name, 'projects/p/runs/whole');
  assert.deepEqual([run?.stepsPerEpoch, run?.totalSteps, run?.spec?.nbClasses], [6n, 12n, 5]);
  const events = await follow(trainer, run!.name);
  const of = <K extends string>(kind: K) =>
    events.flatMap(({ event }) => (event?.$case === kind ? [event as Extract<typeof event, { $case: K }>] : []));
  assert.deepEqual(
    events.map(({ sequence }) => sequence),
    events.map((_, k) => BigInt(k + 1)),
  );
  assert.equal(events[0]?.event?.$case, 'created');
  const steps = of('steps').flatMap(({ value }) => value.steps);
  assert.deepEqual(
    steps.map(({ step }) => Number(step)),
    Array.from({ length: 12 }, (_, k) => k),
  );
  for (const { batchSha256, classAcc, dropRate } of steps) {
    assert.equal(batchSha256[0]?.length, 32);
    assert.equal(classAcc, undefined, 'images are mixed');
    assert.equal(dropRate, 0.1);
  }
  assert.deepEqual(
    of('epoch').map(({ value }) => value.epoch),
    [0, 1],
  );
  const epoch0 = steps.slice(0, 6).reduce((sum, { loss }) => sum + loss, 0) / 6;
  assert.equal(of('epoch')[0]?.value.trainLoss, epoch0);
  assert.deepEqual(
    of('checkpoint').map(({ value }) => Number(value.step)),
    [6, 12],
  );
  const evaluations = of('evaluation').map(({ value }) => value);
  assert.deepEqual(
    evaluations.map(({ step }) => Number(step)).sort((a, b) => a - b),
    [6, 12],
  );
  for (const { result } of evaluations) {
    assert.equal(result?.samples, 40n);
    assert.ok(result?.ema && result.weights && result.weights.top5 === 100);
    assert.equal(
      result.weights.classSamples.reduce((a, b) => a + b, 0n),
      40n,
    );
  }
  const { run: done } = await trainer.getRun({ name: run!.name }, soon);
  assert.equal(done?.state, RunState.SUCCEEDED);
  assert.equal(done?.step, 12n);
  const best = evaluations.reduce((a, b) => (b.result!.weights!.top1 > a.result!.weights!.top1 ? b : a));
  assert.equal(done?.bestTop1, best.result?.weights?.top1);

  const { checkpoints } = await trainer.listCheckpoints({ parent: run!.name }, soon);
  assert.deepEqual(
    checkpoints.map(({ step }) => Number(step)),
    [12, 6],
  );
  const { checkpoint } = await trainer.getCheckpoint({ name: `${run!.name}/checkpoints/best` }, soon);
  assert.equal(checkpoint?.name, done?.bestCheckpoint);
  assert.deepEqual(checkpoint?.files.map(({ role }) => role).sort(), ['ema', 'optimizer', 'weights']);
  for (const { url, sha256 } of checkpoint!.files) assert.ok(url.startsWith('file:') && sha256.length === 32);
  const page = await evaluator.listEvaluations({ parent }, soon);
  assert.equal(page.evaluations.length, 2);
});

test('pause, resume, cancel', { timeout: 120_000 }, async () => {
  const { run } = await trainer.createRun({ parent, runId: 'paused', spec: services.spec({ epochs: 400, saveCkptFreq: 400 }) }, soon);
  const name = run!.name;
  await follow(trainer, name, ({ event }) => event?.$case === 'steps');
  await assert.rejects(trainer.deleteRun({ name }, soon), { name: 'FailedPrecondition' });
  const asked = await trainer.pauseRun({ name }, soon);
  assert.ok(asked.run?.pauseRequested || asked.run?.state === RunState.PAUSED);
  await trainer.pauseRun({ name }, soon);
  const until = await follow(trainer, name, ({ event }) => event?.$case === 'state' && event.value.state === RunState.PAUSED);
  const paused = (await trainer.getRun({ name }, soon)).run!;
  assert.ok(paused.step > 0n && paused.step < paused.totalSteps);
  assert.equal(until.filter(({ event }) => event?.$case === 'checkpoint').length, 1, 'a checkpoint of exactly where it stopped');
  assert.equal((await trainer.resumeRun({ name }, soon)).run?.state, RunState.QUEUED);
  const resumed = await follow(trainer, name, ({ event }) => event?.$case === 'resumed');
  const record = resumed.at(-1)?.event;
  assert.ok(record?.$case === 'resumed');
  assert.deepEqual([record.value.fromStep, record.value.attempt, record.value.fingerprintChanged], [paused.step, 2, false]);
  assert.equal((await trainer.cancelRun({ name }, soon)).run?.state, RunState.CANCELLED);
  const all = await follow(trainer, name);
  const end = all.at(-1)?.event;
  assert.ok(end?.$case === 'state' && end.value.state === RunState.CANCELLED, 'nothing follows the end');
  await assert.rejects(trainer.resumeRun({ name }, soon), { name: 'FailedPrecondition' });
  await assert.rejects(trainer.deleteRun({ name, etag: 'stale' }, soon), { name: 'Aborted' });
  await trainer.deleteRun({ name }, soon);
  await assert.rejects(trainer.getRun({ name }, soon), { name: 'NotFound' });
});

test('a run whose loss is no number fails at once and says what to do', { timeout: 60_000 }, async () => {
  const spec = services.spec({ lr: 1e30, warmupEpochs: 0, opt: Optimizer.SGD, momentum: 0 });
  const { run } = await trainer.createRun({ parent, runId: 'diverges', spec }, soon);
  const events = await follow(trainer, run!.name);
  const { run: done } = await trainer.getRun({ name: run!.name }, soon);
  assert.equal(done?.state, RunState.FAILED);
  assert.match(done!.failure, /NonFiniteLoss.*lower lr/);
  assert.equal(done?.attempt, 1);
  assert.ok(lossesOf(events).every(Number.isFinite));
});
