/** The statistics of a checkpoint's gradients have equal bits for any number of threads, and are what the evaluation's spec says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EvaluationState, EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { connect, InvalidArgument } from '#rpc/client.js';
import { startService } from '../support/processes.js';
import { connectTrainer, demandingSpec, follow, makeWorkspace, startData, startTrainer } from '../support/training.js';

const parent = 'projects/test';
const soon = { timeoutMs: 30_000 };

test('1 and 2 threads: equal statistics with stochastic depth and without, of the model and its blocks', {
  timeout: 300_000,
}, async (t) => {
  const workspace = await makeWorkspace(t, { train: 250, test: 20 });
  const data = await startData(t, workspace);
  const service = await startTrainer(t, workspace, [data]);
  const trainer = connectTrainer(service.address);
  t.after(() => trainer.close());
  const spec = demandingSpec(workspace, { epochs: 4, cutoffEpoch: 2, batchSize: 16, updateFreq: 2, holdoutStride: 5, holdoutOffset: 1 });
  const { run } = await trainer.createRun({ parent, runId: 'measured', spec }, soon);
  await follow(trainer, run!.name);
  const checkpoint = `${run!.name}/checkpoints/latest`;

  const evaluatorWith = async (threads: number, role: string) => {
    const argv = ['--store', workspace.store, '--data', data.address, '--poll-ms', '50', '--role', role];
    return await startService(t, 'evaluator', argv, { DROPSTREAM_THREADS: `${threads}` });
  };
  const api = await evaluatorWith(1, 'api');
  const evaluator = connect(EvaluatorServiceClient, api.address);
  t.after(() => evaluator.close());
  const measure = async (threads: number) => {
    const worker = await evaluatorWith(threads, 'worker');
    const { evaluation } = await evaluator.createEvaluation(
      { parent, spec: { checkpoint, manifest: '', gradientStatistics: { batches: 5 } } },
      soon,
    );
    let last = evaluation!;
    for await (const next of evaluator.watchEvaluation({ name: last.name }, { timeoutMs: 120_000 })) last = next.evaluation!;
    assert.equal(await worker.end('SIGTERM'), 0);
    assert.equal(last.state, EvaluationState.SUCCEEDED, last.failure);
    return last;
  };

  const alone = await measure(1);
  const { gradientStatistics: statistics, samples } = alone.result!;
  // 250 images, of which the run holds out 50: those are no part of the whole set.
  assert.equal(statistics!.wholeSetSamples, 200n);
  assert.equal(samples, BigInt(200 + 2 * 5 * 16));
  assert.equal(alone.samplesTotal, samples);
  assert.deepEqual(
    [alone.spec!.batchSize, alone.spec!.subsetInvert, alone.spec!.gradientStatistics],
    [16, true, { batches: 5, dropout: 0, dropPath: 0.3, seed: 11n }],
  );
  for (const directions of [statistics!.withDrop!, statistics!.withoutDrop!]) {
    assert.equal(directions.batches, 5);
    for (const distance of [directions.variance!, directions.error!]) assert.ok(distance > 0 && distance < 1, `${distance}`);
    assert.ok(directions.norm > 0 && directions.loss! > 0);
  }
  assert.notEqual(statistics!.withDrop!.variance, statistics!.withoutDrop!.variance);
  assert.ok(statistics!.blocks.some(({ block }) => block === 'blocks.0') && statistics!.blocks.some(({ block }) => block === 'head'));
  assert.deepEqual((await measure(2)).result!.gradientStatistics, statistics);

  const refused = { batches: 1, dropout: 1, dropPath: 0.1 };
  const bad = { checkpoint, manifest: '', ema: true, batchSize: 300, subsetInvert: true };
  const fieldsOf = async (part: object): Promise<string[]> => {
    const error = await evaluator.createEvaluation({ parent, spec: { ...bad, ...part } as never }, soon).catch((e: unknown) => e);
    assert.ok(error instanceof InvalidArgument, String(error));
    return error.violations.map(({ field }) => field);
  };
  assert.deepEqual(await fieldsOf({ gradientStatistics: refused }), ['spec.ema', 'spec.subset_invert']);
  assert.deepEqual(await fieldsOf({ ema: undefined, subsetInvert: undefined, gradientStatistics: refused }), [
    'spec.gradient_statistics.batches',
    'spec.gradient_statistics.dropout',
    'spec.gradient_statistics.drop_path',
  ]);
  assert.deepEqual(await fieldsOf({ ema: undefined, subsetInvert: undefined, gradientStatistics: { batches: 2 } }), ['spec.batch_size']);
});
