// GetRunSeries of a run that was trained, beside its log.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { StepMetric } from '#protocol/dropstream/v1/trainer.js';
import { InvalidArgument } from '#rpc/client.js';
import { follow, type Trainer, TrainingServices } from '../../../test/support/training-services.js';

const soon = { timeoutMs: 30_000 };

let services: TrainingServices;
let client: Trainer;
before(async () => {
  services = await TrainingServices.open({ train: 96, test: 20 });
  ({ client } = await services.trainer(['--data', await services.data()]));
});
after(() => services.close());

test('curves are what the log says, in the order that was asked for', { timeout: 120_000 }, async () => {
  const { run } = await client.createRun({ parent: 'projects/p', runId: 'curves', spec: services.spec({ epochs: 3 }) }, soon);
  const events = await follow(client, run!.name);
  const steps = events.flatMap(({ event }) => (event?.$case === 'steps' ? event.value.steps : []));
  assert.ok(steps.length > 4);
  const request = { name: run!.name, metrics: [StepMetric.GRAD_NORM, StepMetric.LOSS] };
  const { series, ...about } = await client.getRunSeries(request, soon);
  assert.deepEqual(series, [
    { metric: StepMetric.GRAD_NORM, steps: steps.map(({ step }) => Number(step)), values: steps.map(({ gradNorm }) => gradNorm) },
    { metric: StepMetric.LOSS, steps: steps.map(({ step }) => Number(step)), values: steps.map(({ loss }) => loss) },
  ]);
  assert.deepEqual(about, { fromStep: 0n, toStep: BigInt(steps.length), logSequence: events.at(-1)!.sequence, uid: run!.uid });
  const part = await client.getRunSeries({ ...request, fromStep: 1n, toStep: 3n, points: 4 }, soon);
  assert.deepEqual([part.series[0]!.steps, part.fromStep, part.toStep], [[1, 2], 1n, 3n]);
  assert.equal((await client.getRunSeries({ name: run!.name }, soon)).series.length, 8);
});

test('what cannot be asked for is refused with every violation', async () => {
  const request = { name: 'projects/p/runs/any', metrics: [1, 1], fromStep: 5n, toStep: 5n, points: 3 };
  await assert.rejects(client.getRunSeries(request, soon), (error: unknown) => {
    assert.ok(error instanceof InvalidArgument);
    assert.deepEqual(
      error.violations.map(({ field }) => field),
      ['metrics', 'to_step', 'points'],
    );
    return true;
  });
  for (const metrics of [[0], [99]]) await assert.rejects(client.getRunSeries({ ...request, metrics }, soon), InvalidArgument);
});
