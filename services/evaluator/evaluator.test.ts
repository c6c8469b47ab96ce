import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Engine, Precision } from '#protocol/dropstream/v1/engine_types.js';
import { type Evaluation, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { InvalidArgument } from '#rpc/client.js';
import { silentLogger } from '#telemetry/logger.js';
import { type Evaluator, follow, type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { scoreCheckpoint } from './worker/score-checkpoint.js';

let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
let data: string;
let checkpoint: string;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open({ train: 192, test: 40 });
  data = await services.data();
  trainer = (await services.trainer(['--data', data])).client;
  // Enough that the scores say something: stripes are learnt in a few epochs.
  const spec = services.spec({
    epochs: 12,
    mixup: 0,
    cutmix: 0,
    aa: '',
    reprob: 0,
    hflip: 0,
    smoothing: 0,
    lr: 3e-3,
    modelEma: true,
    modelEmaDecay: 0.9,
  });
  const { run } = await trainer.createRun({ parent, runId: 'trained', spec }, soon);
  const events = await follow(trainer, run!.name);
  const accuracies = events.flatMap(({ event }) => (event?.$case === 'epoch' ? [event.value.trainClassAcc ?? 0] : []));
  assert.ok(accuracies.at(-1)! > accuracies[0]!, `it learns: ${accuracies}`);
  checkpoint = (await trainer.getRun({ name: run!.name }, soon)).run!.latestCheckpoint;
  evaluator = (await services.evaluator(['--data', data])).client;
});
after(() => services.close());

async function finished(name: string): Promise<Evaluation> {
  let last: Evaluation | undefined;
  for await (const { evaluation } of evaluator.watchEvaluation({ name }, soon)) last = evaluation;
  return last!;
}

async function score(part: object): Promise<Evaluation> {
  const { evaluation } = await evaluator.createEvaluation({ parent, spec: { checkpoint, manifest: services.evalManifest, ...part } }, soon);
  return await finished(evaluation!.name);
}

test('each sample once, whatever the size of a batch; weights and average', async () => {
  const [large, small] = [await score({ ema: true, batchSize: 40 }), await score({ ema: true, batchSize: 7 })];
  assert.deepEqual([large.state, large.failure], [EvaluationState.SUCCEEDED, '']);
  for (const { result } of [large, small]) {
    assert.equal(result?.samples, 40n);
    assert.deepEqual(result?.weights?.classSamples, [8n, 8n, 8n, 8n, 8n]);
    const correct = result!.weights!.classCorrect.reduce((a, b) => a + b, 0n);
    assert.equal(result!.weights!.top1, (100 * Number(correct)) / 40);
    assert.ok(result!.weights!.top1 > 30, `better than chance: ${result!.weights!.top1}`);
    assert.ok(result?.ema);
  }
  assert.equal(large.result!.weights!.top1, small.result!.weights!.top1);
  assert.ok(Math.abs(large.result!.weights!.loss - small.result!.weights!.loss) < 1e-5);
  assert.notEqual(large.result!.weights!.loss, large.result!.ema!.loss);
});

test('a list leaves out the counts by class if it is asked to, and nothing else', async () => {
  const [whole, bare] = [
    await evaluator.listEvaluations({ parent }, soon),
    await evaluator.listEvaluations({ parent, omitClassCounts: true }, soon),
  ];
  assert.ok(whole.evaluations.some(({ result }) => (result?.ema?.classSamples.length ?? 0) > 0));
  const none = { classCorrect: [], classSamples: [] };
  const expected = whole.evaluations.map(({ result, ...evaluation }) => ({
    ...evaluation,
    result: result && {
      ...result,
      weights: result.weights && { ...result.weights, ...none },
      ema: result.ema && { ...result.ema, ...none },
    },
  }));
  assert.deepEqual(bare.evaluations, expected);
  assert.deepEqual(await evaluator.listEvaluations({ parent }, soon), whole, 'what is kept was not changed');
});

test('both executors score alike', async () => {
  const [native, tfjs] = [await score({}), await score({ engine: Engine.TFJS })];
  assert.equal(tfjs.state, EvaluationState.SUCCEEDED, tfjs.failure);
  assert.ok(Math.abs(native.result!.weights!.loss - tfjs.result!.weights!.loss) < 1e-4);
});

test('a held-out part of a data set', async () => {
  const { result, samplesTotal } = await score({ manifest: services.trainManifest, subsetStride: 7, subsetOffset: 3 });
  assert.deepEqual([result?.samples, samplesTotal], [27n, 27n]);
});

test('defaults come from the run: no evaluation data there, none given', async () => {
  const error = await evaluator.createEvaluation({ parent, spec: { checkpoint, manifest: '' } }, soon).catch((e: unknown) => e);
  assert.ok(error instanceof InvalidArgument);
  assert.equal(error.violations[0]?.field, 'spec.manifest');
});

test('bad input comes back with every field', async () => {
  const spec = {
    checkpoint: 'projects/p/runs/r/checkpoints/c',
    manifest: 'x',
    batchSize: 5000,
    cropPct: 2,
    engine: 9 as Engine,
    precision: 9 as Precision,
    subsetOffset: 1,
  };
  const error = await evaluator.createEvaluation({ parent, evaluationId: 'A', requestId: '!', spec }, soon).catch((e: unknown) => e);
  assert.ok(error instanceof InvalidArgument, String(error));
  assert.deepEqual(
    error.violations.map(({ field }) => field),
    [
      'evaluation_id',
      'request_id',
      'spec.manifest',
      'spec.batch_size',
      'spec.crop_pct',
      'spec.engine',
      'spec.precision',
      'spec.subset_offset',
    ],
  );
  const elsewhere = { checkpoint: 'projects/q/runs/r/checkpoints/c', manifest: '' };
  const foreign = await evaluator.createEvaluation({ parent, spec: elsewhere }, soon).catch((e: unknown) => e);
  assert.ok(foreign instanceof InvalidArgument && foreign.violations[0]?.field === 'spec.checkpoint', String(foreign));
  const half = await score({ engine: Engine.TFJS, precision: Precision.BF16 }).catch((e: unknown) => e);
  assert.ok(half instanceof InvalidArgument && half.violations[0]?.field === 'spec.precision', String(half));
  await assert.rejects(score({ manifest: 'e'.repeat(64) }), { name: 'NotFound', kind: 'manifest' });
});

test('creating is idempotent; another spec under the same request id is refused; cancelling ends it', async () => {
  const spec = { checkpoint, manifest: services.evalManifest };
  const ask = (batchSize: number) => evaluator.createEvaluation({ parent, requestId: 'once', spec: { ...spec, batchSize } }, soon);
  const [first, again] = [await ask(8), await ask(8)];
  assert.equal(first.evaluation?.name, again.evaluation?.name);
  await assert.rejects(ask(9), { name: 'AlreadyExists' });
  const { name } = await finished(first.evaluation!.name);
  await assert.rejects(evaluator.cancelEvaluation({ name }, soon), { name: 'FailedPrecondition' });
});

test('a damaged checkpoint fails with the name of the part', async () => {
  const { checkpoint: found } = await trainer.getCheckpoint({ name: checkpoint }, soon);
  const { key } = found!.files.find(({ role }) => role === 'weights')!;
  const { bytes } = await services.store.get(key);
  const damaged = Buffer.from(bytes);
  damaged[damaged.length - 1]! ^= 1;
  await services.store.put(key, damaged);
  const evaluation = await score({});
  await services.store.put(key, bytes);
  assert.equal(evaluation.state, EvaluationState.FAILED);
  assert.ok(evaluation.failure.includes(key), evaluation.failure);
});

test('an evaluation whose worker stops ends in the middle of a batch', async () => {
  const { evaluation } = await evaluator.createEvaluation(
    { parent, spec: { checkpoint, manifest: services.evalManifest, ema: true, batchSize: 20 } },
    soon,
  );
  const stopping = new AbortController();
  const counts: number[] = [];
  const scored = scoreCheckpoint({
    store: services.store,
    parent,
    spec: evaluation!.spec!,
    runUid: (await trainer.getRun({ name: 'projects/p/runs/trained' }, soon)).run!.uid,
    data: { addresses: [data] },
    // The weights have been scored on the first batch, the average has not.
    onImages: (count) => {
      counts.push(count);
      stopping.abort(new Error('the worker is stopping'));
    },
    onProgress: () => assert.fail('the batch was completed'),
    signal: stopping.signal,
    logger: silentLogger(),
  });
  await assert.rejects(scored, /the worker is stopping/);
  assert.deepEqual(counts, [20]);
  assert.equal((await finished(evaluation!.name)).state, EvaluationState.SUCCEEDED);
});

test('an evaluation that waits is cancelled for good', async () => {
  const client = evaluator;
  const { evaluation } = await client.createEvaluation(
    { parent: 'projects/p', evaluationId: 'cancelled', spec: { checkpoint, manifest: services.evalManifest, batchSize: 1 } },
    soon,
  );
  const ended = await client.cancelEvaluation({ name: evaluation!.name }, soon).catch((error: Error) => error);
  // The worker of this test may have been faster: then cancelling is refused, else it stands.
  const final = await finished(evaluation!.name);
  if (ended instanceof Error) assert.equal(final.state, EvaluationState.SUCCEEDED);
  else assert.equal(final.state, EvaluationState.CANCELLED);
});

test('a batch that no data replica can ever hold is refused at creation; the default size is reduced to that of the training', async () => {
  // Half a MiB is for batches. A batch takes twice the bytes of its images, and an image 2352 bytes, so that 111 fit.
  const { address } = await services.dataReplica(0, ['--max-bytes', String(1 << 20)]);
  const { client } = await services.evaluator(['--role', 'api', '--data', address]);
  const create = async (of: string, batchSize?: number) => {
    const spec = { checkpoint: of, manifest: services.evalManifest, batchSize };
    return (await client.createEvaluation({ parent, spec }, soon)).evaluation!.spec!.batchSize;
  };
  const refused = (error: unknown): boolean => {
    assert.ok(error instanceof InvalidArgument, String(error));
    assert.deepEqual(
      error.violations.map(({ field }) => field),
      ['spec.batch_size'],
    );
    return /max-bytes/.test(error.message);
  };
  await assert.rejects(create(checkpoint, 112), refused);
  assert.equal(await create(checkpoint, 100), 100);
  assert.equal(await create(checkpoint), 24);
  const { run } = await trainer.createRun({ parent, runId: 'large', spec: services.spec({ epochs: 1, batchSize: 80 }) }, soon);
  await follow(trainer, run!.name);
  assert.equal(await create(`${run!.name}/checkpoints/latest`), 80);
});
