/** The batch client against replicas that misbehave, through real gRPC. Whole and partial failures of real replicas: services/data. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, test } from 'node:test';
import { Registry } from 'prom-client';
import { Cancelled, DataLoss, InvalidArgument, invalid, RemoteError, Unavailable } from '#errors/errors.js';
import {
  BatchHeader,
  DataServiceService,
  type GetBatchRequest,
  type GetBatchResponse,
  PixelFormat,
  Plan,
  SampleOrder,
  TransformSpec,
} from '#protocol/dropstream/v1/data.js';
import { type CallContext, serverStream, service, unary } from '#rpc/handlers.js';
import { createServer, type RpcServer } from '#rpc/server.js';
import { silentLogger } from '#telemetry/logger.js';
import { dataNames } from '../../../services/data/request-names.js';
import { BatchClient, type BatchFailure } from './batch-client.js';
import { DamagedBatch } from './fetch-batch.js';

type Behaviour = (request: GetBatchRequest, ctx: CallContext) => AsyncIterable<GetBatchResponse>;

const servers: RpcServer[] = [];
after(async () => {
  await Promise.all(servers.map((server) => server.close()));
});

async function replica(behaviour: Behaviour): Promise<string> {
  const unused = () => {
    throw invalid('call', '', 'GetBatch');
  };
  const handlers = { getBatch: serverStream(behaviour), describeDataset: unary(unused), previewBatch: unary(unused) };
  const server = createServer({
    services: [service(DataServiceService, dataNames, handlers)],
    registry: new Registry(),
    logger: silentLogger(),
  });
  await server.start();
  servers.push(server);
  return `127.0.0.1:${server.port}`;
}

const SIZE = 8;
const BATCHES = 4;
const plan: Plan = {
  ...Plan.create(),
  dataset: { manifest: 'c'.repeat(64) },
  batchSize: 2,
  order: SampleOrder.SHUFFLED,
  transform: { ...TransformSpec.create(), inputSize: SIZE, training: true },
};

/** The stream of a sound replica: pixels that say which batch they are. */
function messages(request: GetBatchRequest, change: (header: BatchHeader) => Partial<BatchHeader> = () => ({})): GetBatchResponse[] {
  const payload = Buffer.alloc(2 * 3 * SIZE * SIZE, 16 * request.epoch + request.index);
  const header: BatchHeader = {
    ...BatchHeader.create(),
    planDigest: request.planDigest,
    epoch: request.epoch,
    index: request.index,
    batchesPerEpoch: BATCHES,
    samples: [0, 1].map((label) => ({ sample: BigInt(label), label, erase: [], mix: undefined, padding: false })),
    channels: 3,
    size: SIZE,
    classes: 2,
    format: PixelFormat.UINT8,
    payloadBytes: BigInt(payload.byteLength),
    payloadSha256: createHash('sha256').update(payload).digest(),
    mean: [0, 0, 0],
    std: [1, 1, 1],
  };
  const chunk = (value: Buffer): GetBatchResponse => ({ part: { $case: 'chunk', value } });
  return [
    { part: { $case: 'header', value: { ...header, ...change(header) } } },
    chunk(payload.subarray(0, 100)),
    chunk(payload.subarray(100)),
  ];
}
const sound: Behaviour = async function* (request) {
  yield* messages(request);
};
const changed = (change: (list: GetBatchResponse[], request: GetBatchRequest) => GetBatchResponse[]): Behaviour =>
  async function* (request) {
    yield* change(messages(request), request);
  };
const header = (change: (header: BatchHeader) => Partial<BatchHeader>): Behaviour =>
  async function* (request) {
    yield* messages(request, change);
  };

/** Answers nothing but an error. */
const failing = (error: () => unknown): Behaviour =>
  async function* () {
    yield* [];
    throw error();
  };

async function read(
  addresses: string[],
  options: { totalMs?: number; attemptMs?: number; onFailure?: (failure: BatchFailure) => void } = {},
): Promise<number[]> {
  const client = new BatchClient({ addresses, totalMs: 10_000, ...options });
  const marks: number[] = [];
  try {
    for await (const batch of client.batches({ plan, epochs: 2, signal: AbortSignal.timeout(30_000) })) {
      assert.equal(new Set(batch.payload).size, 1);
      marks.push(batch.payload[0]!);
      batch.release();
    }
  } finally {
    client.close();
  }
  return marks;
}
const EXPECTED = [0, 1, 2, 3, 16, 17, 18, 19];

const damaged: [string, Behaviour, RegExp][] = [
  ['a changed byte', changed(([head, a]) => [head!, a!, { part: { $case: 'chunk', value: Buffer.alloc(284, 255) } }]), /SHA-256/],
  ['too few bytes', changed(([head, a]) => [head!, a!]), /100 of 384 bytes/],
  ['too many bytes', changed((list) => [...list, list[1]!]), /more bytes/],
  ['no header', changed(([, a]) => [a!]), /chunk before the header/],
  ['nothing', changed(() => []), /no header/],
  ['a second header', changed(([head, a, b]) => [head!, a!, head!, b!]), /second header/],
  ['another plan', header(() => ({ planDigest: 'd'.repeat(64) })), /plan_digest/],
  ['another batch', header(({ index }) => ({ index: index + 1 })), /index/],
  ['another size', header(() => ({ size: 9 })), /size/],
  ['a claim of endless bytes', header(() => ({ payloadBytes: 2n ** 40n })), /payload_bytes/],
  ['a label outside the classes', header(({ samples }) => ({ samples: samples.map((sample) => ({ ...sample, label: 7 })) })), /label 7/],
];

for (const [what, behaviour, why] of damaged) {
  test(`a replica that sends ${what} is passed over`, async () => {
    const failures: BatchFailure[] = [];
    const bad = await replica(behaviour);
    assert.deepEqual(await read([bad, await replica(sound)], { onFailure: (failure) => failures.push(failure) }), EXPECTED);
    assert.ok(
      failures.length > 0 &&
        failures.every(({ address, error }) => address === bad && error instanceof DamagedBatch && why.test(error.message)),
    );
    await assert.rejects(read([bad], { totalMs: 300 }), (error) => error instanceof Unavailable && error.cause instanceof DamagedBatch);
  });
}

test('a replica that never answers costs one deadline, not the run', async () => {
  const silent = await replica(async function* (request, { signal }) {
    if (request.index === 2)
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
    yield* messages(request);
  });
  const failures: BatchFailure[] = [];
  assert.deepEqual(
    await read([silent, await replica(sound)], { attemptMs: 200, onFailure: (failure) => failures.push(failure) }),
    EXPECTED,
  );
  assert.ok(failures.every(({ address }) => address === silent));
});

test('leaving ends a batch that is awaited', async () => {
  const silent = await replica(async function* (_, { signal }) {
    yield* [];
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
  });
  const client = new BatchClient({ addresses: [silent] });
  const batches = client.batches({ plan, signal: AbortSignal.timeout(30_000) });
  const awaited = assert.rejects(batches.next(), Cancelled);
  assert.deepEqual(await batches.return(), { done: true, value: undefined });
  await awaited;
  client.close();
});

test('a replica that breaks off in the middle of a payload is resumed elsewhere', async () => {
  const breaks = await replica(async function* (request) {
    yield* messages(request).slice(0, 2);
    throw new Unavailable('this replica', 0);
  });
  assert.deepEqual(await read([breaks, await replica(sound)]), EXPECTED);
});

test('what no replica can mend ends the reading: bad requests at once, a damaged disk after all were asked', async () => {
  let calls = 0;
  const refusing = await replica(
    failing(() => {
      calls++;
      return invalid('plan.seed', 0, 'something else');
    }),
  );
  await assert.rejects(read([refusing, refusing]), InvalidArgument);
  assert.equal(calls, 1);
  const lossy = failing(() => new DataLoss('sample a.jpg', 'changed'));
  await assert.rejects(read([await replica(lossy), await replica(lossy)]), DataLoss);
  assert.deepEqual(await read([await replica(lossy), await replica(sound)]), EXPECTED);
  const broken = failing(() => new Error('a bug'));
  await assert.rejects(
    read([await replica(broken)], { totalMs: 300 }),
    (error) => error instanceof Unavailable && error.cause instanceof RemoteError,
  );
});

test('no more batches are asked for than fit the window and the bytes', async () => {
  let most = 0;
  let open = 0;
  const counting = await replica(async function* (request) {
    most = Math.max(most, ++open);
    await new Promise((resolve) => setTimeout(resolve, 10));
    yield* messages(request);
    open--;
  });
  const run = async (options: { inFlight?: number; inFlightBytes?: number }) => {
    most = 0;
    const client = new BatchClient({ addresses: [counting], ...options });
    for await (const batch of client.batches({ plan, epochs: 4, signal: AbortSignal.timeout(30_000) })) batch.release();
    client.close();
    return most;
  };
  assert.equal(await run({ inFlight: 3 }), 3);
  assert.equal(await run({ inFlight: 8, inFlightBytes: 2 * 384 }), 2);
  assert.equal(await run({ inFlight: 8, inFlightBytes: 1 }), 1);
});
