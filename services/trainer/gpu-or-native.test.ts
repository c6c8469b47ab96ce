/** A run with the engine AUTO: every claim says which engine the worker chose and why, and from its first checkpoint on the run stays on it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { missingFor } from '#engine/index.js';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { silentLogger } from '#telemetry/logger.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { follow, type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { openRunLog } from './run/run-log.js';
import type { RunView } from './run/run-state.js';
import { EngineChoices } from './worker/engine-choices.js';
import { RunPrograms } from './worker/run-program.js';

const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
const adapter = process.env.DROPSTREAM_GPU;
let services: TrainingServices;
let trainer: Trainer;
let data: string;

before(async () => {
  services = await TrainingServices.open();
  data = await services.data();
  trainer = (await services.trainer(['--role', 'api'])).client;
});
after(() => services.close());

/** What follows runs as if no GPU were there, or with the adapter of the tests. */
function useGpu(there: boolean): void {
  process.env.DROPSTREAM_GPU = there ? adapter : 'abacus';
}

const create = async (runId: string, part: Partial<RunSpec> = {}): Promise<string> =>
  (await trainer.createRun({ parent, runId, spec: services.spec({ engine: Engine.AUTO, ...part }) }, soon)).run!.name;

test('a worker without a GPU trains it natively, and says why; so does the evaluator', { timeout: 120_000 }, async () => {
  useGpu(false);
  const evaluator = await services.evaluator(['--data', data]);
  const worker = await services.trainer(['--role', 'worker', '--data', data, '--evaluator', evaluator.address]);
  const name = await create('natively', { evalManifest: services.evalManifest });
  const events = await follow(trainer, name);
  const claims = events.flatMap(({ event }) => (event?.$case === 'claimed' ? [event.value] : []));
  assert.deepEqual(
    claims.map(({ engine }) => engine),
    [Engine.NATIVE],
  );
  assert.match(claims[0]!.engineReason, /^no GPU can be used: /);
  const { run } = await trainer.getRun({ name }, soon);
  assert.deepEqual([run?.state, run?.spec?.engine, run?.engine], [RunState.SUCCEEDED, Engine.AUTO, Engine.NATIVE]);
  const { checkpoint } = await trainer.getCheckpoint({ name: run!.latestCheckpoint, urlExpirySeconds: 0 }, soon);
  assert.match(checkpoint!.fingerprint, /^native\//);
  const { evaluations } = await evaluator.client.listEvaluations({ parent }, soon);
  assert.ok(evaluations.length > 0);
  for (const { state, spec } of evaluations) assert.deepEqual([state, spec?.engine], [EvaluationState.SUCCEEDED, Engine.AUTO]);
  await worker.service.close();
});

test('a spec that names its engine has it in its claims, without a reason', { timeout: 60_000 }, async () => {
  const worker = await services.trainer(['--role', 'worker', '--data', data]);
  const events = await follow(trainer, await create('named', { engine: Engine.NATIVE }));
  const claims = events.flatMap(({ event }) => (event?.$case === 'claimed' ? [event.value] : []));
  assert.deepEqual(
    claims.map(({ engine, engineReason }) => [engine, engineReason]),
    [[Engine.NATIVE, '']],
  );
  await worker.service.close();
});

/** A run that a worker claimed for this engine, gave back, and which has a checkpoint or not. */
async function begunOn(engine: Engine, runId: string, { checkpoint = true, exact = false } = {}): Promise<RunView> {
  const { uid, name } = (await trainer.createRun({ parent, runId, spec: services.spec({ engine: Engine.AUTO, exact }) }, soon)).run!;
  const log = openRunLog(services.store, { project: 'p', id: runId, uid });
  await log.refresh();
  const claim = { attempt: 1, worker: 'before', succeeds: '', engine, engineReason: 'it was faster' };
  await log.append(() => ({ body: { $case: 'claimed', value: claim } }));
  if (checkpoint) {
    const value = { checkpoint: `${name}/checkpoints/0000000003-1`, step: 3n, sizeBytes: 1n, seconds: 1 };
    await log.append(() => ({ body: { $case: 'checkpoint', value } }));
  }
  await log.append(() => ({ body: { $case: 'state', value: { state: RunState.QUEUED, reason: 'given back', released: true } } }));
  return log.view!;
}

async function chosenFor(view: RunView): Promise<[Engine, string]> {
  const choices = new EngineChoices(new RunPrograms(), silentLogger());
  const engine = await choices.choose(view, AbortSignal.timeout(60_000));
  const { engineReason, ...claim } = choices.of(view);
  assert.equal(claim.engine, engine);
  return [engine, engineReason];
}

test('a resumed run stays on the native engine, also where there is a GPU', async () => {
  useGpu(true);
  assert.deepEqual(await chosenFor(await begunOn(Engine.NATIVE, 'stays-native')), [
    Engine.NATIVE,
    'the checkpoints of the run were made with it',
  ]);
});

test('a resumed run stays on the GPU where there is one', { skip: withoutExecutor('webgpu') }, async () => {
  useGpu(true);
  assert.equal(await missingFor('webgpu'), undefined);
  assert.deepEqual(await chosenFor(await begunOn(Engine.WEBGPU, 'stays-webgpu')), [
    Engine.WEBGPU,
    'the checkpoints of the run were made with it',
  ]);
});

test('where its GPU is missing, an exact run keeps its engine and waits; another one goes on natively', async () => {
  useGpu(false);
  assert.equal((await chosenFor(await begunOn(Engine.WEBGPU, 'waits', { exact: true })))[0], Engine.WEBGPU);
  const [engine, reason] = await chosenFor(await begunOn(Engine.WEBGPU, 'goes-on'));
  assert.equal(engine, Engine.NATIVE);
  assert.match(reason, /^no GPU can be used: /);
});

test('before its first checkpoint, a run is free to take another engine', async () => {
  useGpu(false);
  const [engine] = await chosenFor(await begunOn(Engine.WEBGPU, 'free', { checkpoint: false, exact: true }));
  assert.equal(engine, Engine.NATIVE);
});
