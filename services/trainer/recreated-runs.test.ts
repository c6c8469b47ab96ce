/**
 * Runs that are cancelled, deleted and created again under the same name, with a worker that lives and with one that is frozen meanwhile.
 * DROPSTREAM_RECREATE_ROUNDS sets the number of rounds of each kind (default 10); with DROPSTREAM_RECREATE_STORE=minio the store is a MinIO.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Registry } from 'prom-client';
import { runEvents } from '#client/run-events.js';
import { NotFound } from '#errors/errors.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { silentLogger } from '#telemetry/logger.js';
import { freezableStore } from '../../test/support/freezable-store.js';
import { type RunningMinio, startMinio } from '../../test/support/minio.js';
import { type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { until } from '../../test/support/until.js';
import { trainerConfig } from './config.js';
import { createTrainerMetrics } from './metrics.js';
import { recordLog } from './run/run-log.js';
import { createRunWorker } from './worker/run-worker.js';

let services: TrainingServices;
let data: string;
let trainer: Trainer;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
const rounds = Number(process.env.DROPSTREAM_RECREATE_ROUNDS ?? 10);
const timeout = 60_000 + rounds * 10_000;

let minio: RunningMinio | undefined;

before(async () => {
  if (process.env.DROPSTREAM_RECREATE_STORE === 'minio') {
    const started = await startMinio();
    if ('skip' in started) throw new Error(started.skip);
    minio = started;
    Object.assign(process.env, minio.env);
  }
  services = await TrainingServices.open(undefined, undefined, await minio?.createBucket('recreated'));
  data = await services.data();
  trainer = (await services.trainer(['--role', 'api'])).client;
});
after(async () => {
  await services.close();
  await minio?.stop();
});

async function create(runId: string, lr: number): Promise<{ name: string; uid: string }> {
  // Long enough that no run ends by itself.
  const { run } = await trainer.createRun({ parent, runId, spec: services.spec({ lr, epochs: 4000, saveCkptFreq: 1 }) }, soon);
  assert.equal(run!.logSequence, 1n, 'it is new');
  return { name: run!.name, uid: run!.uid };
}

/** Events up to the one that `until` looks for. Many rounds take longer than the server keeps a connection, so it reconnects. */
async function follow(client: Trainer, name: string, until: (event: RunEvent) => boolean): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of runEvents(client, name, { patienceSeconds: 20, signal: AbortSignal.timeout(60_000) })) {
    events.push(event);
    if (until(event)) break;
  }
  return events;
}

const steps = (from: number) => (events: { event?: { $case: string; value: unknown } | undefined }) =>
  events.event?.$case === 'steps' && (events.event.value as { steps: { step: bigint }[] }).steps.some(({ step }) => Number(step) >= from);

/** One training of one worker from step 0, without gaps. */
async function assertOneHistory(id: string, uid: string, lr: number): Promise<void> {
  const writers = new Set<string>();
  let next = 0n;
  let seq = 0;
  for await (const record of recordLog(services.store, { project: 'p', id, uid }).read()) {
    assert.equal(record.seq, ++seq);
    if (record.kind === 'created') assert.equal((record.created as { run: { spec: { lr: number } } }).run.spec.lr, lr);
    if (['claimed', 'steps', 'checkpoint'].includes(record.kind)) writers.add(record.writer);
    if (record.kind !== 'steps') continue;
    for (const { step } of (record.steps as { steps: { step?: string }[] }).steps) assert.equal(BigInt(step ?? 0), next++);
  }
  assert.ok(next > 0n);
  assert.equal(writers.size, 1, 'only the worker that claimed it wrote');
}

const isEmpty = async (prefix: string): Promise<boolean> => (await services.store.list(prefix, { limit: 1 })).objects.length === 0;

/** Cancels, deletes and creates again, at once. */
async function recreate(id: string, lr: number): Promise<{ name: string; uid: string }> {
  const name = `${parent}/runs/${id}`;
  await trainer.cancelRun({ name }, soon);
  await trainer.deleteRun({ name }, soon);
  return await create(id, lr);
}

async function end(name: string): Promise<void> {
  await trainer.cancelRun({ name }, soon);
  await trainer.deleteRun({ name }, soon);
}

test('with a live worker: every run has one history, and no name dies', { timeout }, async () => {
  const { service } = await services.trainer(['--role', 'worker', '--data', data]);
  let lr = 1e-3;
  let run = await create('live', lr);
  const uids = new Set([run.uid]);
  for (let round = 0; round < rounds; round++) {
    await follow(trainer, run.name, steps(round % 7));
    await assertOneHistory('live', run.uid, lr);
    lr /= 1.01;
    const before = run;
    run = await recreate('live', lr);
    uids.add(run.uid);
    // The worker may still have been writing when the run was deleted: it removes that itself.
    await until('the sweep', () => isEmpty(`${before.name}/${before.uid}/`), { looks: 1500 });
  }
  await follow(trainer, run.name, steps(0));
  await assertOneHistory('live', run.uid, lr);
  assert.equal(uids.size, rounds + 1);
  await end(run.name);
  await service.close();
});

test('with a worker that is frozen meanwhile: it writes where nobody reads, notices and goes on with the new run', {
  timeout,
}, async (t) => {
  const frozen = freezableStore(services.store);
  const argv = ['--store', 'unused', '--data', data, '--poll-ms', '50', '--lease-ttl-ms', '600', '--backoff-ms', '50'];
  const worker = createRunWorker({
    store: frozen.store,
    config: trainerConfig.parse({ argv }),
    evaluator: undefined,
    scheduler: undefined,
    metrics: createTrainerMetrics(new Registry()),
    logger: silentLogger(),
  });
  worker.start();
  t.after(() => {
    frozen.thaw();
    return worker.stop();
  });
  let lr = 1e-3;
  let run = await create('frozen', lr);
  for (let round = 0; round < rounds; round++) {
    await follow(trainer, run.name, steps(round % 7));
    frozen.freeze();
    lr /= 1.01;
    const before = run;
    run = await recreate('frozen', lr);
    frozen.thaw();
    await follow(trainer, run.name, steps(0));
    await assertOneHistory('frozen', run.uid, lr);
    await until('the sweep', () => isEmpty(`${before.name}/${before.uid}/`), { looks: 1500 });
  }
  await end(run.name);
});

test('a watch of a deleted run ends with NOT_FOUND, and its cursor does not fit the next run', { timeout: 60_000 }, async () => {
  const first = await create('watched', 1e-3);
  const events: string[] = [];
  const watching = (async () => {
    for await (const { event } of trainer.watchRun({ name: first.name, uid: first.uid }, soon)) events.push(event!.event!.$case);
    // It sees the end of the run, or its deletion, which may come while the run is still being created again.
  })().catch((error) => assert.ok(error instanceof NotFound, String(error)));
  await until('the first event', () => events.length > 0);
  const second = await recreate('watched', 2e-3);
  await watching;
  assert.equal(events[0], 'created');
  await assert.rejects(async () => {
    for await (const _ of trainer.watchRun({ name: first.name, uid: first.uid, afterSequence: 1n }, soon));
  }, NotFound);
  const { run } = await trainer.getRun({ name: second.name }, soon);
  assert.deepEqual([run!.uid, run!.state], [second.uid, RunState.QUEUED]);
  await end(second.name);
});

test('a schedule that is deleted and created again is not the one that a run follows', { timeout: 90_000 }, async () => {
  const scheduler = await services.scheduler();
  const spec = {
    kind: DropKind.DROP_PATH,
    rate: 0.2,
    mode: DropMode.STANDARD,
    schedule: DropSchedule.CONSTANT,
    cutoffEpoch: 0,
  };
  const { schedule } = await scheduler.client.createSchedule({ parent, scheduleId: 'followed', spec }, soon);
  const argv = ['--data', data, '--scheduler', scheduler.address];
  const { client, service } = await services.trainer(argv);
  const runSpec = services.spec({ schedule: schedule!.name, followSchedule: true, epochs: 4000, saveCkptFreq: 4000 });
  const { run } = await client.createRun({ parent, runId: 'follows', spec: runSpec }, soon);
  await follow(client, run!.name, steps(0));
  await scheduler.client.updateSchedule({ name: schedule!.name, spec: { ...spec, rate: 0.1 }, updateMask: ['rate'] }, soon);
  await follow(client, run!.name, ({ event }) => event?.$case === 'scheduleChanged');
  const { dropSegments } = (await client.getRun({ name: run!.name }, soon)).run!;
  await scheduler.client.deleteSchedule({ name: schedule!.name }, soon);
  const { schedule: other } = await scheduler.client.createSchedule({ parent, scheduleId: 'followed', spec: { ...spec, rate: 0.4 } }, soon);
  assert.notEqual(other!.uid, schedule!.uid);
  await scheduler.client.updateSchedule({ name: schedule!.name, spec: { ...spec, rate: 0.5 }, updateMask: ['rate'] }, soon);
  const events = await follow(client, run!.name, ({ event }) => event?.$case === 'status');
  const said = events.at(-1)!.event;
  assert.ok(
    said?.$case === 'status' && /followed was deleted; the run keeps revision 2 of it/.test(said.value.message),
    JSON.stringify(events.at(-1), String),
  );
  // A worker that takes the run over does not take the new schedule for the run's own either.
  await service.close();
  const next = await services.trainer(['--role', 'worker', ...argv]);
  const resumedAt = Number((await trainer.getRun({ name: run!.name }, soon)).run!.step);
  await follow(trainer, run!.name, steps(resumedAt + 20));
  const now = (await trainer.getRun({ name: run!.name }, soon)).run!;
  assert.deepEqual(now.dropSegments, dropSegments);
  assert.match(now.statusMessage, /keeps revision 2/);
  await end(run!.name);
  await next.service.close();
});
