/** The Python and the TypeScript client go through the same scenarios against real services. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Registry } from 'prom-client';
import { Unavailable } from '#errors/errors.js';
import {
  type BatchHeader,
  DataServiceClient,
  DataServiceService,
  type GetBatchResponse,
  PixelFormat,
  Plan,
} from '#protocol/dropstream/v1/data.js';
import { EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { serverStream, service, unary } from '#rpc/handlers.js';
import { createServer } from '#rpc/server.js';
import { silentLogger } from '#telemetry/logger.js';
import { dataNames } from '../../services/data/request-names.js';
import { sourceFlags, startService } from '../support/processes.js';
import { buildPythonClient, noPythonClient, type PythonClient, python } from '../support/python-client.js';
import { freePort } from '../support/tool.js';
import { TrainingServices } from '../support/training-services.js';
import { ClientError, type ClientProgram, Driver } from './driver.js';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let services: TrainingServices;
let built: PythonClient | undefined;
let addresses: Record<string, string>;

before(async () => {
  if (!noPythonClient) built = await buildPythonClient();
  services = await TrainingServices.open();
  const data = await services.data();
  const scheduler = await services.scheduler();
  const evaluator = await services.evaluator(['--data', data]);
  const trainer = await services.trainer(['--data', data, '--scheduler', scheduler.address, '--evaluator', evaluator.address]);
  addresses = {
    DROPSTREAM_DATA: data,
    DROPSTREAM_SCHEDULER: scheduler.address,
    DROPSTREAM_TRAINER: `127.0.0.1:${trainer.service.port}`,
    DROPSTREAM_EVALUATOR: evaluator.address,
  };
});
after(async () => {
  await services?.close();
  await built?.remove();
});

const typescript = (): ClientProgram => ({
  name: 'TypeScript',
  command: process.execPath,
  argv: [...sourceFlags, path('typescript-driver.ts')],
});
const pythonProgram = (): ClientProgram => ({
  name: 'Python',
  command: python,
  argv: [path('../../libs/python-client/tests/driver.py')],
  env: { ...built?.env },
});

/** 96 images, 16 in a batch: 6 batches in an epoch. */
const BATCHES = 6;
const plan = () => ({
  dataset: { manifest: services.trainManifest },
  seed: '7',
  batchSize: 16,
  order: 'SAMPLE_ORDER_SHUFFLED',
  transform: { inputSize: 28, training: true, aa: '' },
  mix: { mixup: 0.8, cutmix: 1 },
});

/** A batch as the service sends it, taken apart without either client. */
async function sent(format: PixelFormat, epoch: number, index: number) {
  const client = connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, addresses.DROPSTREAM_DATA!);
  try {
    let header: BatchHeader | undefined;
    const chunks: Uint8Array[] = [];
    for await (const { part } of client.getBatch({ plan: Plan.fromJSON(plan()), epoch, index, format }, { timeoutMs: 30_000 })) {
      if (part?.$case === 'header') header = part.value;
      else if (part) chunks.push(part.value);
    }
    assert.ok(header);
    const payload = Buffer.concat(chunks);
    const pixels = header.samples.length * 3 * header.size * header.size;
    const imageBytes = pixels * (format === PixelFormat.FLOAT32 ? 4 : format === PixelFormat.BFLOAT16 ? 2 : 1);
    const labels = Int32Array.from(header.samples, ({ label }) => label);
    const targets = format === PixelFormat.UINT8 ? Buffer.from(labels.buffer) : payload.subarray(imageBytes);
    return { header, images: sha256(payload.subarray(0, imageBytes)), targets: sha256(targets), targetBytes: targets.byteLength };
  } finally {
    client.close();
  }
}

const positions = (from: number, count: number): [number, number][] =>
  Array.from({ length: count }, (_, k) => [Math.floor((from + k) / BATCHES), (from + k) % BATCHES]);

/** The next `count` batches are those that the service sends, from the position `from` on. */
async function expectBatches(client: Driver, from: number, count: number): Promise<string> {
  let state = '';
  for (const [epoch, index] of positions(from, count)) {
    const batch = await client.call('next', {});
    assert.ok(batch, `no batch ${index} of epoch ${epoch}`);
    const { images, targets } = await sent(PixelFormat.FLOAT32, epoch, index);
    assert.deepEqual([batch.epoch, batch.index, batch.images, batch.targets], [epoch, index, images, targets]);
    state = batch.state;
  }
  return state;
}

const rejects = async (call: Promise<unknown>, kind: string, check: (error: ClientError) => void = () => {}): Promise<void> => {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof ClientError, String(error));
    assert.equal(error.kind, kind, error.message);
    check(error);
    return true;
  });
};

type Start = (over?: Record<string, string>) => Driver;

/** Each gets the client under test, and the other one where that is there. */
const scenarios: [string, (t: TestContext, start: Start, other: Start | undefined, id: string) => Promise<void>][] = [
  [
    'batches have the bytes that the service sends, in every format',
    async (_, start) => {
      const client = start();
      for (const [format, value] of [
        ['float32', PixelFormat.FLOAT32],
        ['bfloat16', PixelFormat.BFLOAT16],
        ['uint8', PixelFormat.UINT8],
      ] as const) {
        await client.call('open', { plan: plan(), format, epochs: 1 });
        for (const [epoch, index] of positions(0, BATCHES)) {
          const { images, targets, targetBytes } = await sent(value, epoch, index);
          const batch = await client.call('next', {});
          assert.ok(batch);
          assert.deepEqual({ ...batch, state: '' }, { epoch, index, shape: [16, 3, 28, 28], images, targets, targetBytes, state: '' });
        }
        assert.equal(await client.call('next', {}), null, 'one epoch was asked for');
      }
      assert.deepEqual(await client.end(), { code: 0, log: '' });
    },
  ],
  [
    'a stream goes on at a saved position with equal bytes, also in the other client, and with no other plan',
    async (_, start, other) => {
      const client = start();
      await client.call('open', { plan: plan() });
      const state = await expectBatches(client, 0, BATCHES + 2);
      await client.call('close', {});
      await client.call('open', { plan: plan(), start: state, epochs: 2 });
      const last = await expectBatches(client, BATCHES + 2, BATCHES - 2);
      assert.equal(await client.call('next', {}), null);
      await client.call('open', { plan: plan(), start: last });
      await expectBatches(client, 2 * BATCHES, 1);
      await client.call('open', { plan: { ...plan(), seed: '8' }, start: state });
      await rejects(client.call('next', {}), 'FailedPrecondition');
      assert.deepEqual(await client.end(), { code: 0, log: '' });
      if (!other) return;
      const continued = other();
      await continued.call('open', { plan: plan(), start: state });
      await expectBatches(continued, BATCHES + 2, 3);
      assert.deepEqual(await continued.end(), { code: 0, log: '' });
    },
  ],
  [
    'a killed replica and an absent one cost no batch',
    async (t, start) => {
      const victim = await startService(t, 'data', ['--store', services.storeUri, '--root', services.folder]);
      const absent = `127.0.0.1:${await freePort()}`;
      const client = start({ DROPSTREAM_DATA: [victim.address, absent, addresses.DROPSTREAM_DATA].join(',') });
      await client.call('open', { plan: plan() });
      await expectBatches(client, 0, 4);
      await victim.end('SIGKILL');
      await expectBatches(client, 4, 2 * BATCHES);
      const failed = new Set((await client.call('failures', {})).map(({ address }) => address));
      assert.ok(failed.has(absent) && !failed.has(addresses.DROPSTREAM_DATA!));
      assert.deepEqual(await client.end(), { code: 0, log: '' });
    },
  ],
  [
    'a replica that refuses calls at its limit gets them again later',
    async (t, start) => {
      const argv = ['--store', services.storeUri, '--root', services.folder, '--max-client-waiting', '0'];
      const busy = await startService(t, 'data', argv);
      const client = start({ DROPSTREAM_DATA: busy.address });
      await client.call('open', { plan: plan(), inFlight: 8, epochs: 3 });
      await expectBatches(client, 0, 3 * BATCHES);
      const failures = await client.call('failures', {});
      assert.ok(failures.length > 0 && failures.every(({ kind }) => kind === 'ResourceExhausted'));
      assert.deepEqual(await client.end(), { code: 0, log: '' });
    },
  ],
  [
    'RetryInfo reaches the caller, and no replica that answers means Unavailable',
    async (t, start) => {
      const away = () => new Unavailable('this replica', 250);
      const stream = async function* (): AsyncGenerator<GetBatchResponse> {
        yield* [];
        throw away();
      };
      const answer = () => {
        throw away();
      };
      const handlers = { getBatch: serverStream(stream), describeDataset: unary(answer), previewBatch: unary(answer) };
      const server = createServer({
        services: [service(DataServiceService, dataNames, handlers)],
        registry: new Registry(),
        logger: silentLogger(),
      });
      await server.start();
      t.after(() => server.close());
      const client = start({ DROPSTREAM_DATA: `127.0.0.1:${server.port}` });
      await client.call('open', { plan: plan(), totalSeconds: 1 });
      await rejects(client.call('next', {}), 'Unavailable');
      const failures = await client.call('failures', {});
      assert.ok(failures.length > 0);
      assert.ok(failures.every(({ kind, retryAfterSeconds }) => kind === 'Unavailable' && retryAfterSeconds === 0.25));
      assert.deepEqual(await client.end(), { code: 0, log: '' });
    },
  ],
  [
    'closing a stream that waits ends the wait and leaves nothing behind',
    async (t, start) => {
      const frozen = await startService(t, 'data', ['--store', services.storeUri, '--root', services.folder]);
      const client = start({ DROPSTREAM_DATA: frozen.address });
      await client.call('open', { plan: plan() });
      await expectBatches(client, 0, 1);
      await client.call('close', {});
      frozen.process.kill('SIGSTOP');
      t.after(() => frozen.process.kill('SIGCONT'));
      await client.call('open', { plan: plan() });
      assert.equal(await client.call('closeWhileWaiting', {}), 'Cancelled');
      // A stream in use when the client is closed.
      await client.call('open', { plan: plan() });
      assert.deepEqual(await client.end(), { code: 0, log: '' });
    },
  ],
  [
    'errors name every rejected field, and what does not exist',
    async (_, start) => {
      const client = start();
      const bad = { ...plan(), batchSize: 3, rank: 5, transform: { inputSize: 4, training: true } };
      await client.call('open', { plan: bad });
      await rejects(client.call('next', {}), 'InvalidArgument', ({ fields }) =>
        assert.deepEqual([...fields].sort(), ['plan.batch_size', 'plan.rank', 'plan.transform.input_size']),
      );
      await client.call('open', { plan: plan(), start: JSON.stringify({ epoch: 0, index: BATCHES, planDigest: '' }) });
      await rejects(client.call('next', {}), 'InvalidArgument', ({ fields }) => assert.deepEqual(fields, ['index']));
      await rejects(client.call('run', { run: 'nobody' }), 'NotFound');
      await rejects(client.call('wait', { run: 'nobody' }), 'NotFound');
      await rejects(client.call('watch', { run: 'nobody' }), 'NotFound');
      await rejects(client.call('evaluate', { checkpoint: 'nobody/step-1' }), 'NotFound');
      await rejects(client.call('submit', { spec: { model: 'vit_nano_p7', dropout: 2 } }), 'InvalidArgument', ({ fields }) =>
        assert.ok(fields.includes('spec.dropout') && fields.includes('spec.train_manifest'), String(fields)),
      );
      assert.deepEqual(await client.end(), { code: 0, log: '' });
    },
  ],
  [
    'a run is submitted once for one request id, watched to its end, waited for and evaluated',
    async (_, start, __, id) => {
      const client = start();
      const spec = { model: 'vit_nano_p7', trainManifest: services.trainManifest, evalManifest: services.evalManifest };
      const short = { ...spec, epochs: 2, batchSize: 16, warmupEpochs: 1, lr: 1e-3, disableEval: true };
      const request = { spec: short, runId: id, requestId: `${id}-request` };
      await client.call('submit', { ...request, requestId: `${id}-check`, validateOnly: true });
      await rejects(client.call('run', { run: id }), 'NotFound');
      const { name, uid } = await client.call('submit', request);
      assert.equal(name, `projects/default/runs/${id}`);
      assert.deepEqual(await client.call('submit', request), { name, uid });
      await rejects(client.call('submit', { ...request, spec: { ...short, lr: 2e-3 } }), 'AlreadyExists');

      const { sequences, kinds } = await client.call('watch', { run: id });
      assert.deepEqual(
        sequences,
        [...sequences.keys()].map((k) => k + 1),
      );
      assert.deepEqual([kinds[0], kinds.at(-1)], ['created', 'state']);
      assert.ok(kinds.includes('steps') && kinds.includes('checkpoint'), `${kinds}: ${(await client.call('run', { run: id })).state}`);
      assert.deepEqual((await client.call('watch', { run: name, after: 2 })).sequences, sequences.slice(2));
      assert.deepEqual(await client.call('wait', { run: id }), { state: 'SUCCEEDED', step: 2 * BATCHES });

      const evaluation = await client.call('evaluate', { checkpoint: `${id}/${await newest(name)}` });
      assert.equal(evaluation.samples, 40);
      const stored = connectEvaluator();
      try {
        const { evaluation: found } = await stored.getEvaluation({ name: evaluation.name }, { timeoutMs: 10_000 });
        assert.deepEqual([evaluation.top1, evaluation.loss], [found?.result?.weights?.top1, found?.result?.weights?.loss]);
      } finally {
        stored.close();
      }
      assert.deepEqual(await client.end(), { code: 0, log: '' });
    },
  ],
  [
    'waiting ends at its deadline, and with an error for a cancelled run',
    async (_, start, __, id) => {
      const client = start();
      const spec = { model: 'vit_nano_p7', trainManifest: services.trainManifest, epochs: 5000, batchSize: 16, warmupEpochs: 1, lr: 1e-3 };
      await client.call('submit', { spec, runId: id });
      await rejects(client.call('wait', { run: id, timeoutSeconds: 1 }), 'DeadlineExceeded');
      assert.deepEqual(await client.call('cancel', { run: id }), { state: 'CANCELLED' });
      await rejects(client.call('wait', { run: id }), 'RunFailed', ({ message }) => assert.match(message, /is CANCELLED/));
      assert.deepEqual(await client.end(), { code: 0, log: '' });
    },
  ],
  [
    'descriptions, previews and rates are those of the services',
    async (_, start) => {
      const client = start();
      assert.deepEqual(await client.call('describe', { manifest: services.trainManifest }), { samples: 96, classes: 5 });
      const { pngs, steps } = await client.call('preview', { plan: plan(), index: 1, limit: 100 });
      assert.equal(new Set(pngs).size, 16, 'the whole batch, each image once');
      assert.ok(steps > 0);
      const erased = { ...plan(), transform: { ...plan().transform, reprob: 1, remode: 'ERASE_MODE_PIXEL' } };
      const whole = await client.call('preview', { plan: erased, index: 1, limit: 16 });
      for (const limit of [1, 5, 11])
        assert.deepEqual((await client.call('preview', { plan: erased, index: 1, limit })).pngs, whole.pngs.slice(0, limit));
      const spec = { rate: 0.1, mode: 'DROP_MODE_EARLY', schedule: 'DROP_SCHEDULE_LINEAR', cutoffEpoch: 50 };
      const rates = await client.call('rates', { spec, steps: [0, 15_599, 15_600], epochs: 300, stepsPerEpoch: 312 });
      assert.deepEqual(rates, [0.1, 0, 0]);
      assert.deepEqual(await client.end(), { code: 0, log: '' });
    },
  ],
];

const connectEvaluator = () => connect(EvaluatorServiceClient, addresses.DROPSTREAM_EVALUATOR!);

/** Id of the newest checkpoint. */
async function newest(run: string): Promise<string> {
  const trainer = connect(TrainerServiceClient, addresses.DROPSTREAM_TRAINER!);
  try {
    const { checkpoints } = await trainer.listCheckpoints({ parent: run }, { timeoutMs: 10_000 });
    return checkpoints[0]!.name.split('/').at(-1)!;
  } finally {
    trainer.close();
  }
}

for (const [what, scenario] of scenarios) {
  for (const [program, other, skip] of [
    [typescript, noPythonClient ? undefined : pythonProgram, false],
    [pythonProgram, typescript, noPythonClient],
  ] as const) {
    const { name } = program();
    test(`${name}: ${what}`, { skip, timeout: 180_000 }, async (t) => {
      const starter =
        (one: () => ClientProgram): Start =>
        (over = {}) =>
          Driver.start(t, one(), { ...addresses, ...over });
      const id = `${name.toLowerCase()}-${scenarios.findIndex(([title]) => title === what)}`;
      await scenario(t, starter(program), other && starter(other), id);
    });
  }
}
