/** KEDA's external scaler in the api roles, the scheduler and the data service, over real gRPC. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ExternalScalerClient, type ScaledObjectRef } from '#protocol/externalscaler/externalscaler.js';
import { connect, FailedPrecondition, InvalidArgument } from '#rpc/client.js';
import { type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { until } from '../../test/support/until.js';

let services: TrainingServices;
let trainer: Trainer;
let trainerAddress: string;
const ends: (() => void)[] = [];
const soon = { timeoutMs: 20_000 };
const parent = 'projects/p';

before(async () => {
  services = await TrainingServices.open();
  const data = await services.data();
  const evaluator = await services.evaluator(['--role', 'api']);
  const started = await services.trainer(['--role', 'api', '--data', data, '--evaluator', evaluator.address]);
  trainer = started.client;
  trainerAddress = `127.0.0.1:${started.service.port}`;
});
after(async () => {
  for (const end of ends) end();
  await services.close();
});

function scalerAt(address: string) {
  const client = connect(ExternalScalerClient, address);
  ends.push(() => client.close());
  return client;
}

const ref = (part: string, more: Record<string, string> = {}): ScaledObjectRef => ({
  name: 'workers',
  namespace: 'training',
  scalerMetadata: { scalerAddress: 'trainer-api:7013', part, ...more },
});

async function answers(client: ReturnType<typeof scalerAt>, of: ScaledObjectRef) {
  const { result } = await client.isActive(of, soon);
  const [spec] = (await client.getMetricSpec(of, soon)).metricSpecs;
  const { metricValues } = await client.getMetrics({ scaledObjectRef: of, metricName: spec!.metricName }, soon);
  assert.equal(metricValues.length, 1);
  assert.equal(metricValues[0]!.metricName, spec!.metricName);
  assert.equal(Number(metricValues[0]!.metricValue), Math.ceil(metricValues[0]!.metricValueFloat));
  assert.equal(Number(spec!.targetSize), spec!.targetSizeFloat);
  return { active: result, metric: spec!.metricName, target: spec!.targetSizeFloat, value: metricValues[0]!.metricValueFloat };
}

test('without work nothing is wanted of any part; the scheduler asks the others', async () => {
  const { address } = await services.scheduler(['--trainer', trainerAddress]);
  for (const client of [scalerAt(trainerAddress), scalerAt(address)]) {
    assert.deepEqual(await answers(client, ref('trainer-worker')), {
      ...{ active: false, metric: 'dropstream-trainer-workers', target: 1, value: 0 },
    });
    assert.deepEqual(await answers(client, ref('data')), { active: false, metric: 'dropstream-data-replicas', target: 4, value: 0 });
  }
  assert.deepEqual(await answers(scalerAt(trainerAddress), ref('evaluator-worker', { targetPerReplica: '2' })), {
    ...{ active: false, metric: 'dropstream-evaluator-workers', target: 2, value: 0 },
  });
  await assert.rejects(scalerAt(address).isActive(ref('evaluator-worker'), soon), (error) => {
    assert.ok(error instanceof FailedPrecondition, String(error));
    assert.match(error.message, /--evaluator/);
    return true;
  });
});

test('every run that waits wants a worker, streams tell of the first and of the last, and a run that is cancelled wants none', async () => {
  const { address } = await services.scheduler(['--trainer', trainerAddress]);
  const [direct, forwarded] = [scalerAt(trainerAddress), scalerAt(address)];
  const seen = new Map<string, boolean[]>([
    ['direct', []],
    ['forwarded', []],
  ]);
  const ending = new AbortController();
  const watching = [direct, forwarded].map(async (client, k) => {
    for await (const { result } of client.streamIsActive(ref('trainer-worker'), { signal: ending.signal }))
      [...seen.values()][k]!.push(result);
  });
  await until('the state was sent as soon as the streams opened', () => [...seen.values()].every(({ length }) => length === 1));
  const names: string[] = [];
  for (const runId of ['one', 'two', 'three']) {
    const { run } = await trainer.createRun({ parent, runId, spec: services.spec() }, soon);
    names.push(run!.name);
  }
  assert.equal((await answers(direct, ref('trainer-worker'))).value, 3);
  assert.equal((await answers(forwarded, ref('trainer-worker', { maxReplicas: '2' }))).value, 2);
  // One replica answers, and three runs want less than one.
  assert.deepEqual(await answers(direct, ref('data')), { active: true, metric: 'dropstream-data-replicas', target: 4, value: 3 });
  await until('the streams say that workers are wanted', () => [...seen.values()].every((results) => results.at(-1) === true));
  await trainer.pauseRun({ name: names[0]! }, soon);
  assert.equal((await answers(direct, ref('trainer-worker'))).value, 2);
  for (const name of names) await trainer.cancelRun({ name }, soon);
  assert.equal((await answers(direct, ref('trainer-worker'))).value, 0);
  await until('the streams say that nothing is wanted', () =>
    [...seen.values()].every((results) => results.at(-1) === false && results.length === 3),
  );
  assert.deepEqual(
    [...seen.values()],
    [
      [false, true, false],
      [false, true, false],
    ],
  );
  ending.abort();
  await Promise.allSettled(watching);
});

test('the stream of the metric sends it at once, and stays open', async () => {
  const ending = new AbortController();
  const specs: unknown[] = [];
  let ended = false;
  const reading = (async () => {
    for await (const { metricSpecs } of scalerAt(trainerAddress).streamMetricSpec(ref('trainer-worker'), { signal: ending.signal }))
      specs.push(...metricSpecs);
  })().finally(() => {
    ended = true;
  });
  await until('the metric was sent', () => specs.length > 0);
  await scalerAt(trainerAddress).isActive(ref('trainer-worker'), soon);
  assert.equal(ended, false);
  assert.deepEqual(specs, [{ metricName: 'dropstream-trainer-workers', targetSize: 1n, targetSizeFloat: 1 }]);
  ending.abort();
  await assert.rejects(reading);
});

test('metadata that cannot be meant is refused, with all that is wrong', async () => {
  const client = scalerAt(trainerAddress);
  const fieldsOf = async (of: ScaledObjectRef, metricName = ''): Promise<string[]> => {
    const refusals = await Promise.all(
      [client.isActive(of, soon), client.getMetricSpec(of, soon), client.getMetrics({ scaledObjectRef: of, metricName }, soon)].map(
        (call) =>
          call.then(
            () => [],
            (error) => {
              assert.ok(error instanceof InvalidArgument, String(error));
              return error.violations.map(({ field, value }) => `${field} ${value}`);
            },
          ),
      ),
    );
    assert.deepEqual(refusals[0], refusals[1]);
    return refusals[2]!;
  };
  assert.deepEqual(await fieldsOf(ref('worker')), ['scalerMetadata.part worker']);
  assert.deepEqual(await fieldsOf(ref('__proto__')), ['scalerMetadata.part __proto__']);
  assert.deepEqual(await fieldsOf({ name: '', namespace: '', scalerMetadata: {} }), ['scalerMetadata.part ']);
  assert.deepEqual(await fieldsOf(ref('data', { targetPerReplica: '0', maxReplicas: '1.5', targetPerReplcia: '3' })), [
    'scalerMetadata.targetPerReplica 0',
    'scalerMetadata.maxReplicas 1.5',
    'scalerMetadata targetPerReplcia',
  ]);
  const wrongMetric = client.getMetrics({ scaledObjectRef: ref('data'), metricName: 'dropstream-trainer-workers' }, soon);
  await assert.rejects(wrongMetric, (error) => error instanceof InvalidArgument && error.violations[0]?.field === 'metricName');
  await assert.rejects(client.isActive(ref('data-calls'), soon), FailedPrecondition);
});
