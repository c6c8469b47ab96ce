/** Every method of every service answers NOT_FOUND, with kind and name, for every resource in its request that is not there. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DataServiceClient, DataServiceService, Plan } from '#protocol/dropstream/v1/data.js';
import { EvaluatorServiceService } from '#protocol/dropstream/v1/evaluator.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';
import { TrainerServiceService } from '#protocol/dropstream/v1/trainer.js';
import { connect, NotFound } from '#rpc/client.js';
import { type Evaluator, type Scheduler, type Trainer, TrainingServices } from './support/training-services.js';

let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
let scheduler: Scheduler;
let data: ReturnType<typeof connect<typeof DataServiceService>>;
const soon = { timeoutMs: 30_000 };
const parent = 'projects/p';
const absent = 'f'.repeat(64);
const elsewhere = `${parent}/runs/none/checkpoints/000000000001-00000000`;
const stored = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.STANDARD, schedule: DropSchedule.CONSTANT, cutoffEpoch: 0 };
const length = { epochs: 2, stepsPerEpoch: 4, depth: 0 };

before(async () => {
  services = await TrainingServices.open();
  const started = await services.scheduler();
  scheduler = started.client;
  trainer = (await services.trainer(['--role', 'api', '--scheduler', started.address])).client;
  evaluator = (await services.evaluator(['--role', 'api'])).client;
  data = connect(DataServiceClient, await services.data());
  // What is there, so that a name is not missing for want of its parent.
  await trainer.createRun({ parent, runId: 'fresh', spec: services.spec() }, soon);
  await scheduler.createSchedule({ parent, scheduleId: 'there', spec: stored }, soon);
  await scheduler.createSchedule({ parent, scheduleId: 'deleted', spec: stored }, soon);
  await scheduler.deleteSchedule({ name: `${parent}/schedules/deleted` }, soon);
});
after(async () => {
  data.close();
  await services.close();
});

async function all(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

type Call = () => Promise<unknown>;
interface Row {
  readonly kind: string;
  readonly resource: string;
  readonly call: Call;
}

const run = `${parent}/runs/none`;
const schedule = `${parent}/schedules/none`;
const evaluation = `${parent}/evaluations/none`;
const fresh = `${parent}/runs/fresh`;
const there = `${parent}/schedules/there`;
const deleted = `${parent}/schedules/deleted`;
const plan = () => Plan.fromPartial({ dataset: { manifest: absent }, batchSize: 4, transform: { inputSize: 28, training: true } });
const create = (part: object) => () => trainer.createRun({ parent, spec: services.spec(part) }, soon);
const rates = (name: string, revision: bigint) => () =>
  scheduler.getRates({ source: { $case: 'schedule', value: name }, revision, length, steps: [0n] }, soon);

/** By method. No rows: the request names nothing that could be missing; a project exists as soon as it is named. */
const rows: Readonly<Record<string, readonly Row[]>> = {
  createRun: [
    { kind: 'manifest', resource: absent, call: create({ trainManifest: absent }) },
    { kind: 'manifest', resource: absent, call: create({ evalManifest: absent }) },
    { kind: 'schedule', resource: schedule, call: create({ schedule }) },
    { kind: 'schedule', resource: deleted, call: create({ schedule: deleted }) },
    { kind: 'schedule revision', resource: `${there}/revisions/9`, call: create({ schedule: there, scheduleRevision: 9n }) },
    { kind: 'checkpoint', resource: elsewhere, call: create({ finetune: elsewhere }) },
    { kind: 'checkpoint', resource: `${run}/checkpoints/best`, call: create({ finetune: `${run}/checkpoints/best` }) },
    { kind: 'checkpoint', resource: `${fresh}/checkpoints/latest`, call: create({ finetune: `${fresh}/checkpoints/latest` }) },
  ],
  getRun: [{ kind: 'run', resource: run, call: () => trainer.getRun({ name: run }, soon) }],
  getRunSeries: [{ kind: 'run', resource: run, call: () => trainer.getRunSeries({ name: run }, soon) }],
  listRuns: [],
  deleteRun: [{ kind: 'run', resource: run, call: () => trainer.deleteRun({ name: run }, soon) }],
  watchRun: [{ kind: 'run', resource: run, call: () => all(trainer.watchRun({ name: run }, soon)) }],
  pauseRun: [{ kind: 'run', resource: run, call: () => trainer.pauseRun({ name: run }, soon) }],
  resumeRun: [{ kind: 'run', resource: run, call: () => trainer.resumeRun({ name: run }, soon) }],
  cancelRun: [{ kind: 'run', resource: run, call: () => trainer.cancelRun({ name: run }, soon) }],
  listCheckpoints: [{ kind: 'run', resource: run, call: () => trainer.listCheckpoints({ parent: run }, soon) }],
  getCheckpoint: [
    { kind: 'checkpoint', resource: elsewhere, call: () => trainer.getCheckpoint({ name: elsewhere }, soon) },
    ...['latest', 'best', '000000000001-00000000'].map((id) => ({
      kind: 'checkpoint',
      resource: `${fresh}/checkpoints/${id}`,
      call: () => trainer.getCheckpoint({ name: `${fresh}/checkpoints/${id}` }, soon),
    })),
  ],
  createSchedule: [],
  getSchedule: [
    { kind: 'schedule', resource: schedule, call: () => scheduler.getSchedule({ name: schedule }, soon) },
    { kind: 'schedule', resource: deleted, call: () => scheduler.getSchedule({ name: deleted }, soon) },
    { kind: 'schedule revision', resource: `${there}/revisions/2`, call: () => scheduler.getSchedule({ name: there, revision: 2n }, soon) },
  ],
  listSchedules: [],
  updateSchedule: [
    { kind: 'schedule', resource: schedule, call: () => scheduler.updateSchedule({ name: schedule, spec: stored }, soon) },
    { kind: 'schedule', resource: deleted, call: () => scheduler.updateSchedule({ name: deleted, spec: stored }, soon) },
  ],
  deleteSchedule: [
    { kind: 'schedule', resource: schedule, call: () => scheduler.deleteSchedule({ name: schedule }, soon) },
    { kind: 'schedule', resource: deleted, call: () => scheduler.deleteSchedule({ name: deleted }, soon) },
  ],
  previewSchedule: [],
  getRates: [
    { kind: 'schedule', resource: schedule, call: rates(schedule, 0n) },
    { kind: 'schedule revision', resource: `${there}/revisions/7`, call: rates(there, 7n) },
  ],
  watchSchedule: [{ kind: 'schedule', resource: schedule, call: () => all(scheduler.watchSchedule({ name: schedule }, soon)) }],
  createEvaluation: [
    ...[elsewhere, `${run}/checkpoints/best`, `${fresh}/checkpoints/latest`].map((checkpoint) => ({
      kind: 'checkpoint',
      resource: checkpoint,
      call: () => evaluator.createEvaluation({ parent, spec: { checkpoint, manifest: services.evalManifest } }, soon),
    })),
  ],
  getEvaluation: [{ kind: 'evaluation', resource: evaluation, call: () => evaluator.getEvaluation({ name: evaluation }, soon) }],
  listEvaluations: [],
  cancelEvaluation: [{ kind: 'evaluation', resource: evaluation, call: () => evaluator.cancelEvaluation({ name: evaluation }, soon) }],
  deleteEvaluation: [{ kind: 'evaluation', resource: evaluation, call: () => evaluator.deleteEvaluation({ name: evaluation }, soon) }],
  watchEvaluation: [{ kind: 'evaluation', resource: evaluation, call: () => all(evaluator.watchEvaluation({ name: evaluation }, soon)) }],
  describeDataset: [{ kind: 'manifest', resource: absent, call: () => data.describeDataset({ dataset: { manifest: absent } }, soon) }],
  getBatch: [{ kind: 'manifest', resource: absent, call: () => all(data.getBatch({ plan: plan() }, soon)) }],
  previewBatch: [{ kind: 'manifest', resource: absent, call: () => data.previewBatch({ plan: plan() }, soon) }],
};

const methods = [DataServiceService, EvaluatorServiceService, SchedulerServiceService, TrainerServiceService].flatMap(Object.keys);

test('every method has its rows', () => assert.deepEqual(Object.keys(rows).sort(), methods.sort()));

for (const [method, cases] of Object.entries(rows)) {
  for (const { kind, resource, call } of cases) {
    test(`${method}: ${kind} ${resource}`, async () => {
      const error = await call().then(
        () => assert.fail('it was answered'),
        (refused: unknown) => refused,
      );
      assert.ok(error instanceof NotFound, String(error));
      assert.deepEqual([error.kind, error.resource], [kind, resource]);
    });
  }
}
