import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Registry } from 'prom-client';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { readManifest } from '#storage/checkpoint.js';
import { encodeManifest } from '#storage/checkpoint-manifest.js';
import { silentLogger } from '#telemetry/logger.js';
import { freezableStore } from '../../test/support/freezable-store.js';
import { batchesOf, follow, lossesOf, type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { trainerConfig } from './config.js';
import { createTrainerMetrics } from './metrics.js';
import { createRunWorker } from './worker/run-worker.js';

let services: TrainingServices;
let data: string;
let trainer: Trainer;
let spec: RunSpec;
let undisturbed: RunEvent[];
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  data = await services.data();
  trainer = (await services.trainer(['--role', 'api'])).client;
  // EMA, mixup, stochastic depth and accumulation; checkpoints every other epoch of 6 steps.
  spec = services.spec({
    epochs: 24,
    batchSize: 8,
    updateFreq: 2,
    modelEma: true,
    modelEmaDecay: 0.9,
    dropPath: 0.2,
    saveCkptFreq: 2,
    seed: 7n,
  });
  const { run } = await trainer.createRun({ parent, runId: 'undisturbed', spec }, soon);
  const worker = await services.trainer(['--role', 'worker', '--data', data]);
  undisturbed = await follow(trainer, run!.name);
  await worker.service.close();
});
after(() => services.close());

function assertUndisturbed(events: readonly RunEvent[]): void {
  assert.deepEqual(lossesOf(events), lossesOf(undisturbed));
  assert.deepEqual(batchesOf(events), batchesOf(undisturbed));
}

const resumedOf = (events: readonly RunEvent[]) => events.flatMap(({ event }) => (event?.$case === 'resumed' ? [event.value] : []));

/** A worker of its own, over a store that can be taken from it. */
function frozenWorker() {
  const frozen = freezableStore(services.store);
  const config = trainerConfig.parse({
    argv: ['--store', 'unused', '--data', data, '--poll-ms', '50', '--lease-ttl-ms', '600', '--backoff-ms', '50'],
  });
  const worker = createRunWorker({
    store: frozen.store,
    config,
    evaluator: undefined,
    scheduler: undefined,
    metrics: createTrainerMetrics(new Registry()),
    logger: silentLogger(),
  });
  worker.start();
  return { ...frozen, worker };
}

test('the undisturbed run is whole, and every position of an epoch is trained on once', () => {
  assert.equal(lossesOf(undisturbed).length, 144);
  const hashes = batchesOf(undisturbed).flatMap((step) => step.split(','));
  assert.equal(hashes.length, 288);
  assert.equal(new Set(hashes).size, 288);
});

test('a worker that vanishes is replaced, and the losses are those of an undisturbed run, bit for bit', { timeout: 60_000 }, async () => {
  const { run } = await trainer.createRun({ parent, runId: 'killed', spec }, soon);
  const victim = frozenWorker();
  let step = 0;
  await follow(trainer, run!.name, ({ event }) => {
    if (event?.$case === 'checkpoint') step = Number(event.value.step);
    return step >= 24;
  });
  victim.freeze();
  const { service } = await services.trainer(['--role', 'worker', '--data', data]);
  const events = await follow(trainer, run!.name);
  const [resumed] = resumedOf(events);
  assert.ok(resumed && resumed.fromStep >= 24n && resumed.fromStep < 144n && resumed.attempt === 2);
  assertUndisturbed(events);
  assert.equal((await trainer.getRun({ name: run!.name }, soon)).run?.state, RunState.SUCCEEDED);
  victim.destroy();
  await Promise.all([victim.worker.stop(), service.close()]);
});

test('an owner that comes back late writes nothing more: one history', { timeout: 60_000 }, async () => {
  const { run } = await trainer.createRun({ parent, runId: 'late', spec }, soon);
  const stale = frozenWorker();
  await follow(trainer, run!.name, ({ event }) => event?.$case === 'checkpoint' && event.value.step >= 12n);
  stale.freeze();
  const { service } = await services.trainer(['--role', 'worker', '--data', data]);
  await follow(trainer, run!.name, ({ event }) => event?.$case === 'resumed');
  stale.thaw();
  const events = await follow(trainer, run!.name);
  assert.deepEqual(
    events.flatMap(({ event }) => (event?.$case === 'claimed' ? [event.value.attempt] : [])),
    [1, 2],
  );
  // After the second claim, steps begin where it resumed and go on without a gap: nobody else wrote any.
  const from = events.findIndex(({ event }) => event?.$case === 'resumed');
  const steps = events.slice(from).flatMap(({ event }) => (event?.$case === 'steps' ? event.value.steps.map((s) => Number(s.step)) : []));
  const first = Number(resumedOf(events)[0]!.fromStep);
  assert.deepEqual(
    steps,
    Array.from({ length: 144 - first }, (_, k) => first + k),
  );
  assertUndisturbed(events);
  await Promise.all([stale.worker.stop(), service.close()]);
});

test('a worker that is asked to stop saves, gives the run back, and another one goes on from that very step', {
  timeout: 60_000,
}, async () => {
  const { run } = await trainer.createRun({ parent, runId: 'handed-over', spec }, soon);
  const first = await services.trainer(['--role', 'worker', '--data', data]);
  await follow(trainer, run!.name, ({ event }) => event?.$case === 'steps');
  await first.service.drain();
  const between = (await trainer.getRun({ name: run!.name }, soon)).run!;
  assert.equal(between.state, RunState.QUEUED);
  const second = await services.trainer(['--role', 'worker', '--data', data]);
  const events = await follow(trainer, run!.name);
  assert.equal(resumedOf(events)[0]?.fromStep, between.step);
  assertUndisturbed(events);
  await second.service.close();
});

test('a worker that is asked to stop right after a checkpoint does not save the same step again', { timeout: 60_000 }, async () => {
  // Each step is an epoch, so each one has a checkpoint that was due.
  const due = { ...spec, batchSize: 48, epochs: 4000, saveCkptFreq: 1 };
  const { run } = await trainer.createRun({ parent, runId: 'stopped-when-due', spec: due }, soon);
  const { service } = await services.trainer(['--role', 'worker', '--data', data]);
  let seen = 0;
  await follow(trainer, run!.name, ({ event }) => event?.$case === 'checkpoint' && ++seen === 3);
  await service.drain();
  const events = await follow(trainer, run!.name, ({ event }) => event?.$case === 'state' && event.value.state === RunState.QUEUED);
  const steps = events.flatMap(({ event }) => (event?.$case === 'checkpoint' ? [Number(event.value.step)] : []));
  assert.deepEqual(
    steps,
    Array.from(steps, (_, k) => k + 1),
  );
  assert.equal(steps.at(-1), Number((await trainer.getRun({ name: run!.name }, soon)).run!.step));
  await trainer.cancelRun({ name: run!.name }, soon);
  await service.close();
});

test('a damaged newest checkpoint is passed over for the one before', { timeout: 60_000 }, async () => {
  const { run } = await trainer.createRun({ parent, runId: 'damaged', spec }, soon);
  const first = await services.trainer(['--role', 'worker', '--data', data]);
  await follow(trainer, run!.name, ({ event }) => event?.$case === 'checkpoint' && event.value.step >= 24n);
  await first.service.drain();
  const { checkpoints } = await trainer.listCheckpoints({ parent: run!.name }, soon);
  const weights = checkpoints[0]!.files.find(({ role }) => role === 'weights')!;
  assert.ok(weights.key.startsWith(`${run!.name}/${run!.uid}/checkpoints/`));
  const { bytes } = await services.store.get(weights.key);
  bytes[bytes.length - 1]! ^= 1;
  await services.store.put(weights.key, bytes);
  const second = await services.trainer(['--role', 'worker', '--data', data]);
  const events = await follow(trainer, run!.name);
  assert.equal(resumedOf(events)[0]?.checkpoint, checkpoints[1]?.name);
  assertUndisturbed(events);
  await second.service.close();
});

test('owners that vanish again and again without getting further end the run', { timeout: 60_000 }, async () => {
  const { run } = await trainer.createRun({ parent, runId: 'hopeless', spec: { ...spec, saveCkpt: false, epochs: 4000 } }, soon);
  const name = run!.name;
  const victims: ReturnType<typeof frozenWorker>[] = [];
  for (let attempt = 1; attempt <= 5; attempt++) {
    const victim = frozenWorker();
    victims.push(victim);
    await follow(trainer, name, ({ event }) => event?.$case === 'claimed' && event.value.attempt === attempt);
    victim.freeze();
  }
  const last = await services.trainer(['--role', 'worker', '--data', data]);
  await follow(trainer, name);
  const { run: done } = await trainer.getRun({ name }, soon);
  assert.equal(done?.state, RunState.FAILED);
  assert.match(done!.failure, /TooManyAttempts: 5 attempts/);
  for (const victim of victims) victim.destroy();
  await Promise.all([...victims.map(({ worker }) => worker.stop()), last.service.close()]);
});

test('without any data replica an attempt saves and ends; the next one goes on when there is one again', { timeout: 60_000 }, async () => {
  const { run } = await trainer.createRun({ parent, runId: 'starved', spec: { ...spec, saveCkpt: false } }, soon);
  const replica = await services.dataReplica();
  const argv = ['--role', 'worker', '--data', replica.address, '--data-wait-ms', '500', '--max-attempts', '50'];
  const worker = await services.trainer(argv);
  await follow(trainer, run!.name, ({ event }) => event?.$case === 'steps');
  await replica.service.close();
  const before = await follow(trainer, run!.name, ({ event }) => event?.$case === 'state' && event.value.state === RunState.QUEUED);
  assert.ok(before.some(({ event }) => event?.$case === 'checkpoint'));
  const last = before.at(-1)?.event;
  assert.ok(last?.$case === 'state' && /Unavailable/.test(last.value.reason), 'it says why');
  await services.dataReplica(replica.service.port);
  const events = await follow(trainer, run!.name);
  assert.ok(resumedOf(events)[0]!.fromStep > 0n);
  assertUndisturbed(events);
  await worker.service.close();
});

/** Trains a run until its first steps are in the log, gives it back, and lets `alter` change what lies in the store. */
async function givenBack(part: Partial<RunSpec> & { runId: string }, alter: (checkpoints: readonly string[]) => Promise<void>) {
  const { runId, ...overrides } = part;
  const { run } = await trainer.createRun({ parent, runId, spec: { ...spec, ...overrides } }, soon);
  const name = run!.name;
  const first = await services.trainer(['--role', 'worker', '--data', data]);
  await follow(trainer, name, ({ event }) => event?.$case === 'checkpoint' && event.value.step >= 24n);
  await first.service.drain();
  await alter((await trainer.listCheckpoints({ parent: name }, soon)).checkpoints.map((checkpoint) => checkpoint.name));
  return name;
}

/** As if another executor had made the checkpoint. */
async function relabel(checkpoint: string): Promise<void> {
  const { manifest } = await readManifest(services.store, await services.manifestKeyOf(checkpoint));
  await services.store.put(
    await services.manifestKeyOf(checkpoint),
    encodeManifest({ ...manifest, fingerprint: 'abacus/fp32/beads/1' }).bytes,
  );
}

test('a run that other numerics carry on says that they differ', { timeout: 60_000 }, async () => {
  const name = await givenBack({ runId: 'carried-on' }, ([newest]) => relabel(newest!));
  const second = await services.trainer(['--role', 'worker', '--data', data]);
  const events = await follow(trainer, name);
  await second.service.close();
  assert.deepEqual(
    resumedOf(events).map(({ fingerprintChanged }) => fingerprintChanged),
    [true],
  );
  assert.equal((await trainer.getRun({ name }, soon)).run?.state, RunState.SUCCEEDED);
});

test('exact: a claimed run whose whole checkpoints turn out to be of other numerics is not carried on either', {
  timeout: 60_000,
}, async () => {
  const name = await givenBack({ runId: 'exact-after-all', exact: true }, async (checkpoints) => {
    const stepOf = (checkpoint: string) => checkpoint.split('/').at(-1)!.split('-')[0];
    for (const checkpoint of checkpoints) {
      if (stepOf(checkpoint) !== stepOf(checkpoints[0]!)) await relabel(checkpoint);
      else {
        // The newest step has the numerics of this machine, and its checkpoint is damaged.
        const { manifest } = await readManifest(services.store, await services.manifestKeyOf(checkpoint));
        await services.store.delete(manifest.parts[0]!.key);
      }
    }
  });
  const second = await services.trainer(['--role', 'worker', '--data', data, '--max-attempts', '2']);
  await follow(trainer, name);
  await second.service.close();
  const { state, failure } = (await trainer.getRun({ name }, soon)).run!;
  assert.equal(state, RunState.FAILED);
  assert.match(failure, /OtherNumerics.*abacus/);
});
