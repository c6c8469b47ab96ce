/** `latest` and `best` wherever a checkpoint is named, what is stored instead of them, and evaluations that are deleted. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { CreatedRecord, EvaluationRecord, Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { AlreadyExists } from '#rpc/client.js';
import { pinnedCheckpoints } from '#work/checkpoint-pins.js';
import { aliasedCheckpoints } from '#work/named-checkpoints.js';
import { type Evaluator, follow, type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { until } from '../../test/support/until.js';
import { type EventBody, openRunLog } from './run/run-log.js';
import { isBest } from './run/run-state.js';

let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
let source: Run;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  const data = await services.data();
  const started = await services.evaluator(['--data', data]);
  evaluator = started.client;
  trainer = (await services.trainer(['--data', data, '--evaluator', started.address])).client;
  const spec = services.spec({ epochs: 3, evalManifest: services.evalManifest });
  const { run } = await trainer.createRun({ parent, runId: 'source', spec }, soon);
  await follow(trainer, run!.name);
  source = (await trainer.getRun({ name: run!.name }, soon)).run!;
  assert.equal(source.state, RunState.SUCCEEDED, source.failure);
});
after(() => services.close());

const alias = (id: string) => `${source.name}/checkpoints/${id}`;
const pins = async () => [...(await pinnedCheckpoints(services.store, source.name, source.uid))].sort();
/** A pin is removed shortly after its holder has ended. */
const untilUnpinned = () => until('the pin to be removed', async () => (await pins()).length === 0, { looks: 1000 });
const idOf = (name: string) => name.split('/').at(-1)!;

test('an evaluation has the name that the checkpoint has at its creation, and a repeated request finds it', async () => {
  for (const [id, name] of [
    ['latest', source.latestCheckpoint],
    ['best', source.bestCheckpoint],
  ] as const) {
    const ask = () => evaluator.createEvaluation({ parent, requestId: `by-${id}`, spec: { checkpoint: alias(id), manifest: '' } }, soon);
    const { evaluation } = await ask();
    assert.equal(evaluation!.spec!.checkpoint, name);
    assert.equal((await ask()).evaluation!.uid, evaluation!.uid);
    const { checkpoint } = await trainer.getCheckpoint({ name: alias(id) }, soon);
    assert.equal(checkpoint!.name, name);
  }
});

test('a run is finetuned from what `best` is at its creation, and keeps that checkpoint until it has ended', async () => {
  for (const { name } of (await evaluator.listEvaluations({ parent }, soon)).evaluations)
    for await (const _ of evaluator.watchEvaluation({ name }, soon));
  await untilUnpinned();
  const api = (await services.trainer(['--role', 'api'])).client;
  const ask = () =>
    api.createRun({ parent, runId: 'tuned', requestId: 'tune', spec: services.spec({ finetune: alias('best'), epochs: 1 }) }, soon);
  const validated = await api.createRun(
    { parent, runId: 'dry', validateOnly: true, spec: services.spec({ finetune: alias('latest') }) },
    soon,
  );
  assert.deepEqual([validated.run!.spec!.finetune, await pins()], [source.latestCheckpoint, []]);
  const { run } = await ask();
  assert.equal(run!.spec!.finetune, source.bestCheckpoint);
  assert.equal((await ask()).run!.uid, run!.uid);
  await follow(trainer, run!.name);
  assert.equal((await trainer.getRun({ name: run!.name }, soon)).run!.state, RunState.SUCCEEDED);
  await untilUnpinned();

  const { run: paused } = await trainer.createRun(
    { parent, runId: 'cancelled', spec: services.spec({ finetune: alias('best'), epochs: 4000 }) },
    soon,
  );
  assert.deepEqual(await pins(), [idOf(source.bestCheckpoint)]);
  await trainer.cancelRun({ name: paused!.name }, soon);
  await untilUnpinned();
});

test('latest and best are those of the run, whatever its log holds', async () => {
  let runs = 0;
  const step = fc.integer({ min: 1, max: 4 });
  const events = fc.array(fc.oneof(fc.record({ saved: step }), fc.record({ scored: step, top1: fc.nat(3) })), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(events, async (all) => {
      const id = `log-${++runs}`;
      const key = { project: 'p', id, uid: String(runs).padStart(32, '0') };
      const name = `${parent}/runs/${id}`;
      const log = openRunLog(services.store, key);
      const append = async (body: EventBody) => await log.append(() => ({ body }));
      await append({
        $case: 'created',
        value: CreatedRecord.fromPartial({ run: Run.fromPartial({ name, uid: key.uid, stepsPerEpoch: 1n }) }),
      });
      for (const [k, event] of all.entries()) {
        const at = 'saved' in event ? event.saved : event.scored;
        const checkpoint = `${name}/checkpoints/c${at}`;
        if ('saved' in event)
          await append({ $case: 'checkpoint', value: { checkpoint, step: BigInt(at), sizeBytes: BigInt(k), seconds: 0 } });
        else {
          const result = { weights: { top1: event.top1, top5: 100, loss: 1 } };
          const best = isBest(log.view!, at, event.top1);
          await append({ $case: 'evaluation', value: EvaluationRecord.fromPartial({ checkpoint, step: BigInt(at), result, best }) });
        }
      }
      const { latestCheckpoint, bestCheckpoint } = log.view!.run;
      assert.deepEqual(await aliasedCheckpoints(services.store, name, key.uid), { latest: latestCheckpoint, best: bestCheckpoint });
    }),
    { numRuns: 30 },
  );
});

test('checkpoints are listed in the order of the log', async () => {
  const { checkpoints } = await trainer.listCheckpoints({ parent: source.name }, soon);
  assert.equal(checkpoints[0]!.name, source.latestCheckpoint);
  const paged: string[] = [];
  let pageToken = '';
  do {
    const page = await trainer.listCheckpoints({ parent: source.name, pageSize: 1, pageToken }, soon);
    paged.push(...page.checkpoints.map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  assert.deepEqual(
    paged,
    checkpoints.map(({ name }) => name),
  );
});

test('an evaluation is deleted when it has ended; its name can be used again', async () => {
  const idle = (await services.evaluator(['--role', 'api'])).client;
  const spec = { checkpoint: alias('latest'), manifest: '' };
  const create = (requestId: string, batchSize?: number) =>
    idle
      .createEvaluation({ parent, evaluationId: 'again', requestId, spec: { ...spec, batchSize } }, soon)
      .then(({ evaluation }) => evaluation!);
  const first = await create('one');
  const { name } = first;
  if (first.state === EvaluationState.PENDING)
    await evaluator.deleteEvaluation({ name }, soon).catch((error: Error) => assert.equal(error.name, 'FailedPrecondition'));
  for await (const _ of evaluator.watchEvaluation({ name }, soon));
  await assert.rejects(create('two'), (e) => e instanceof AlreadyExists && /with another request id and the same spec/.test(e.why));
  await assert.rejects(create('one', 7), (e) => e instanceof AlreadyExists && /with the request id one and another spec/.test(e.why));
  await assert.rejects(evaluator.deleteEvaluation({ name, etag: first.etag }, soon), { name: 'Aborted' });
  const { evaluation: ended } = await evaluator.getEvaluation({ name }, soon);
  await evaluator.deleteEvaluation({ name, etag: ended!.etag }, soon);
  await assert.rejects(evaluator.getEvaluation({ name }, soon), { name: 'NotFound' });
  await assert.rejects(evaluator.deleteEvaluation({ name }, soon), { name: 'NotFound' });
  const second = await create('one');
  assert.notEqual(second.uid, first.uid);
});
