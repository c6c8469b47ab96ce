import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { saveLocation } from '#data/manifest/manifest-location.js';
import type { MixupMode } from '#protocol/dropstream/v1/data.js';
import type { Engine } from '#protocol/dropstream/v1/engine_types.js';
import type { Optimizer, RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropMode } from '#protocol/dropstream/v1/schedule_types.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { projectKey } from '#rpc/authorize.js';
import { InvalidArgument } from '#rpc/client.js';
import { type Evaluator, follow, type Trainer, TrainingServices } from '../../test/support/training-services.js';

let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  trainer = (await services.trainer(['--role', 'api'])).client;
  evaluator = (await services.evaluator(['--role', 'api'])).client;
});
after(() => services.close());

async function fieldsRefused(call: Promise<unknown>): Promise<string[]> {
  const error = await call.then(
    () => assert.fail('it was accepted'),
    (refused: unknown) => refused,
  );
  assert.ok(error instanceof InvalidArgument, String(error));
  for (const { allowed } of error.violations) assert.ok(allowed.length > 0);
  return error.violations.map(({ field }) => field);
}

const create = (part: Partial<RunSpec>, runId = 'x') => trainer.createRun({ parent, runId, spec: services.spec(part) }, soon);

const refused: readonly (readonly [string, Partial<RunSpec>, readonly string[]])[] = [
  ['unknown model', { model: 'alexnet' }, ['spec.model']],
  ['malformed manifest', { trainManifest: 'fashion' }, ['spec.train_manifest']],
  [
    'unknown option values',
    { opt: 9 as Optimizer, engine: 9 as Engine, mixupMode: 9 as MixupMode },
    ['spec.opt', 'spec.mixup_mode', 'spec.engine'],
  ],
  ['cutoff beyond epochs', { dropout: 0.1, dropMode: DropMode.EARLY, cutoffEpoch: 3 }, ['spec.cutoff_epoch']],
  ['dropout and drop_path', { dropout: 0.1, dropPath: 0.1 }, ['spec.drop_path']],
  ['a rate outside [0, 1)', { dropout: 1 }, ['spec.dropout']],
  ['warm-up longer than training', { warmupEpochs: 3 }, ['spec.warmup_epochs']],
  ['batch larger than the data', { batchSize: 98 }, ['spec.batch_size']],
  ['odd batch with mixup', { batchSize: 15 }, ['spec.batch_size']],
  ['image size that the patch does not divide', { inputSize: 30 }, ['spec.input_size']],
  ['negative alphas', { mixup: -1, cutmix: -1 }, ['spec.mixup', 'spec.cutmix']],
  ['malformed augmentation', { aa: 'rand-x7' }, ['spec.aa']],
];
for (const [what, part, fields] of refused) {
  test(`INVALID_ARGUMENT: ${what}`, async () => assert.deepEqual(await fieldsRefused(create(part)), fields));
}

test('INVALID_ARGUMENT: an image size that the evaluation data does not have', async () => {
  // Small images are cropped in training, and taken as they are in evaluation.
  assert.deepEqual(await fieldsRefused(create({ inputSize: 14, evalManifest: services.evalManifest })), ['spec.input_size']);
});

test('INVALID_ARGUMENT: everything at once, nothing is stored', async () => {
  const call = trainer.createRun({ parent, runId: 'Bad Id', requestId: '!', spec: services.spec({ dropout: 2, batchSize: 15 }) }, soon);
  assert.deepEqual(await fieldsRefused(call), ['run_id', 'request_id', 'spec.dropout', 'spec.batch_size']);
  assert.deepEqual(await fieldsRefused(trainer.createRun({ parent }, soon)), ['spec']);
  await assert.rejects(trainer.getRun({ name: 'projects/p/runs/x' }, soon), { name: 'NotFound' });
});

test('INVALID_ARGUMENT: malformed names and names of another project, all of them before anything else', async () => {
  const ask = (spec: Partial<RunSpec>, of = parent) => trainer.createRun({ parent: of, runId: 'Bad Id', spec: services.spec(spec) }, soon);
  const malformed = { schedule: 'early', finetune: 'projects/p/runs/r' };
  assert.deepEqual(await fieldsRefused(ask(malformed, 'nowhere')), ['parent', 'spec.schedule', 'spec.finetune']);
  const foreign = { schedule: 'projects/q/schedules/s', finetune: 'projects/q/runs/r/checkpoints/c' };
  assert.deepEqual(await fieldsRefused(ask(foreign)), ['spec.schedule', 'spec.finetune']);
});

test('INVALID_ARGUMENT: malformed names, pages and cursors', async () => {
  const { run } = await create({}, 'cursor');
  const calls: [() => Promise<unknown>, string][] = [
    [() => trainer.getRun({ name: 'runs/r' }, soon), 'name'],
    [() => trainer.pauseRun({ name: 'projects/p/runs/R' }, soon), 'name'],
    [() => trainer.getCheckpoint({ name: `${run!.name}/checkpoints/` }, soon), 'name'],
    [() => trainer.getCheckpoint({ name: `${run!.name}/checkpoints/latest`, urlExpirySeconds: 700_000 }, soon), 'url_expiry_seconds'],
    [() => trainer.listRuns({ parent, pageToken: 'guess' }, soon), 'page_token'],
    [() => trainer.listRuns({ parent, pageSize: -1 }, soon), 'page_size'],
    [() => trainer.listCheckpoints({ parent: run!.name, pageToken: 'guess' }, soon), 'page_token'],
    [() => follow(trainer, 'projects/p/runs/'), 'name'],
    [
      async () => {
        for await (const _ of trainer.watchRun({ name: run!.name, afterSequence: 99n }, soon));
      },
      'after_sequence',
    ],
    [() => evaluator.getEvaluation({ name: 'evaluations/e' }, soon), 'name'],
    [() => evaluator.listEvaluations({ parent, pageToken: 'guess' }, soon), 'page_token'],
  ];
  for (const [call, field] of calls) assert.deepEqual(await fieldsRefused(call()), [field]);
});

test('NOT_FOUND: run, manifest, checkpoint, evaluation', async () => {
  await assert.rejects(trainer.getRun({ name: 'projects/p/runs/none' }, soon), {
    name: 'NotFound',
    kind: 'run',
    resource: 'projects/p/runs/none',
  });
  for (const call of ['pauseRun', 'resumeRun', 'cancelRun', 'deleteRun'] as const)
    await assert.rejects(trainer[call]({ name: 'projects/p/runs/none' }, soon), { name: 'NotFound' });
  await assert.rejects(follow(trainer, 'projects/p/runs/none'), { name: 'NotFound' });
  const absent = 'f'.repeat(64);
  await assert.rejects(create({ trainManifest: absent }), { name: 'NotFound', kind: 'manifest', resource: absent });
  await assert.rejects(create({ evalManifest: absent }), { name: 'NotFound', kind: 'manifest' });
  const { run } = await create({}, 'fresh');
  await assert.rejects(trainer.getCheckpoint({ name: `${run!.name}/checkpoints/latest` }, soon), { name: 'NotFound', kind: 'checkpoint' });
  const checkpoint = `${run!.name}/checkpoints/000000000001-00000000`;
  await assert.rejects(create({ finetune: checkpoint }), { name: 'NotFound', kind: 'checkpoint' });
  const spec = { checkpoint, manifest: '' };
  await assert.rejects(evaluator.createEvaluation({ parent, spec }, soon), { name: 'NotFound', kind: 'checkpoint' });
  await assert.rejects(evaluator.getEvaluation({ name: 'projects/p/evaluations/none' }, soon), { name: 'NotFound' });
  await assert.rejects(evaluator.cancelEvaluation({ name: 'projects/p/evaluations/none' }, soon), { name: 'NotFound' });
});

test('ALREADY_EXISTS: the same request id or id with another spec; the run again with the same', async () => {
  const ask = (epochs: number) => trainer.createRun({ parent, requestId: 'r-1', spec: services.spec({ epochs }) }, soon);
  const [first, again] = [await ask(2), await ask(2)];
  assert.equal(first.run?.name, again.run?.name);
  await assert.rejects(ask(3), { name: 'AlreadyExists', kind: 'run' });
  await create({}, 'taken');
  await assert.rejects(create({ epochs: 5 }, 'taken'), { name: 'AlreadyExists' });
});

test('FAILED_PRECONDITION: schedules without a scheduler, changes of what has ended', async () => {
  await assert.rejects(create({ schedule: 'projects/p/schedules/s' }), { name: 'FailedPrecondition', kind: 'schedule' });
  const { run } = await create({}, 'ended');
  const { name } = (await trainer.cancelRun({ name: run!.name }, soon)).run!;
  assert.equal((await trainer.cancelRun({ name }, soon)).run?.state, RunState.CANCELLED, 'cancelling is idempotent');
  await assert.rejects(trainer.resumeRun({ name }, soon), { name: 'FailedPrecondition' });
  await assert.rejects(trainer.pauseRun({ name }, soon), { name: 'FailedPrecondition' });
});

test('ABORTED: a stale etag', async () => {
  const { run } = await create({}, 'etag');
  const { run: ended } = await trainer.cancelRun({ name: run!.name }, soon);
  await assert.rejects(trainer.deleteRun({ name: run!.name, etag: run!.etag }, soon), { name: 'Aborted' });
  await trainer.deleteRun({ name: run!.name, etag: ended!.etag }, soon);
});

test('PERMISSION_DENIED: another project', async () => {
  const call = trainer.listRuns({ parent }, { ...soon, metadata: { [projectKey]: 'q' } });
  await assert.rejects(call, { name: 'PermissionDenied' });
});

test('validate_only checks and stores nothing; a run that waits is paused and queued at once', async () => {
  const { run } = await trainer.createRun({ parent, runId: 'dry', spec: services.spec(), validateOnly: true }, soon);
  assert.deepEqual([run?.spec?.batchSize, run?.totalSteps], [16, 12n]);
  await assert.rejects(trainer.getRun({ name: 'projects/p/runs/dry' }, soon), { name: 'NotFound' });
  const { run: waiting } = await create({}, 'waiting');
  assert.equal((await trainer.pauseRun({ name: waiting!.name }, soon)).run?.state, RunState.PAUSED);
  assert.equal((await trainer.resumeRun({ name: waiting!.name }, soon)).run?.state, RunState.QUEUED);
});

test('pages of runs, in order of names, whatever the size of a page', async () => {
  const all = (await trainer.listRuns({ parent }, soon)).runs.map(({ name }) => name);
  assert.deepEqual(all, [...all].sort());
  const paged: string[] = [];
  let pageToken = '';
  do {
    const page = await trainer.listRuns({ parent, pageSize: 2, pageToken }, soon);
    assert.ok(page.runs.length <= 2);
    paged.push(...page.runs.map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  assert.deepEqual(paged, all);
});

test('DATA_LOSS: a manifest whose bytes are not those of its name', async () => {
  const damaged = 'd'.repeat(64);
  await saveLocation(services.store, { project: 'p', sha256: damaged }, '/data');
  await services.store.put(`manifests/${damaged}`, Buffer.from('something else'));
  await assert.rejects(create({ trainManifest: damaged }), { name: 'DataLoss' });
});

test('a worker without data replicas does not start', async () => {
  await assert.rejects(services.trainer(['--role', 'worker']), { name: 'InvalidArgument' });
  await assert.rejects(services.evaluator(['--role', 'all']), { name: 'InvalidArgument' });
});
