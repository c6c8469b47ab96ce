/** Replicas of the data service, alone and several, and their readers, through real gRPC. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { BatchClient, type BatchFailure } from '#data/client/batch-client.js';
import { CHUNK_BYTES } from '#data/client/batch-message.js';
import { InvalidArgument, NotFound, Unavailable } from '#errors/errors.js';
import { EraseMode, MixSpec, MixupMode, PixelFormat, type Plan, TrainInterpolation } from '#protocol/dropstream/v1/data.js';
import { HealthCheckResponse_ServingStatus, HealthClient } from '#protocol/grpc/health/v1/health.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { addressOf, connectTo, dataReplicas, scrape, sha256, signal } from '../../test/support/data-replicas.js';

const { base, service, client, replica, plan, getBatch } = await dataReplicas();

/** SHA-256 of every batch of some epochs, in order. */
async function epochHashes(
  addresses: string[],
  of: Plan,
  options: {
    epochs?: number;
    from?: { epoch: number; index: number };
    batchesPerEpoch?: number;
    onBatch?: (n: number) => Promise<void>;
    onFailure?: (failure: BatchFailure) => void;
  } = {},
) {
  const { epochs = 2, from, batchesPerEpoch, onBatch, onFailure } = options;
  const reader = new BatchClient({ addresses, attemptMs: 20_000, ...(onFailure ? { onFailure } : {}) });
  const hashes: string[] = [];
  try {
    for await (const batch of reader.batches({
      plan: of,
      epochs,
      ...(from ? { from } : {}),
      ...(batchesPerEpoch ? { batchesPerEpoch } : {}),
      signal: signal(),
    })) {
      hashes.push(`${batch.epoch}/${batch.index} ${sha256(batch.payload)}`);
      batch.release();
      await onBatch?.(hashes.length);
    }
  } finally {
    reader.close();
  }
  return hashes;
}

test('one and three replicas, one of them killed in the middle: equal bytes, each batch once', async () => {
  const of = plan('idx', {}, { mix: MixSpec.create() });
  const expected = await epochHashes([addressOf(service)], of, { epochs: 3 });
  assert.equal(expected.length, 36);
  const three = await Promise.all([replica(), replica(), replica()]);
  assert.deepEqual(await epochHashes(three.map(addressOf), of, { epochs: 3 }), expected);
  const failures: BatchFailure[] = [];
  const found = await epochHashes(three.map(addressOf), of, {
    epochs: 3,
    onBatch: async (n) => {
      if (n === 10) await three[1]!.close();
    },
    onFailure: (failure) => failures.push(failure),
  });
  assert.deepEqual(found, expected);
  assert.ok(failures.length > 0 && failures.every(({ address }) => address === addressOf(three[1]!)));
  await Promise.all(three.map((one) => one.close()));
});

test('reading can begin anywhere and skip the end of every epoch', async () => {
  const of = plan('idx');
  const all = await epochHashes([addressOf(service)], of, { epochs: 3 });
  assert.deepEqual(await epochHashes([addressOf(service)], of, { epochs: 3, from: { epoch: 1, index: 5 } }), all.slice(12 + 5));
  const short = await epochHashes([addressOf(service)], of, { epochs: 2, from: { epoch: 0, index: 8 }, batchesPerEpoch: 10 });
  assert.deepEqual(short, [...all.slice(8, 10), ...all.slice(12, 22)]);
  assert.deepEqual(await epochHashes([addressOf(service)], of, { epochs: 1, from: { epoch: 1, index: 0 } }), []);
});

test('random plans have equal batches from any replica', async () => {
  const replicas = await Promise.all([replica('--threads', '2'), replica('--concurrency', '1')]);
  const clients = [client, ...replicas.map(connectTo)];
  const anyPlan = fc.record({
    dataset: fc.constantFrom('folder', 'idx', 'cifar'),
    seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    aa: fc.constantFrom('', 'rand-m9-mstd0.5-inc1', 'rand-m3-n4-w0'),
    interpolation: fc.constantFrom(TrainInterpolation.RANDOM, TrainInterpolation.BICUBIC, TrainInterpolation.BILINEAR),
    mode: fc.constantFrom(MixupMode.BATCH, MixupMode.PAIR, MixupMode.ELEM, undefined),
    remode: fc.constantFrom(EraseMode.PIXEL, EraseMode.RAND, EraseMode.CONST),
    format: fc.constantFrom(PixelFormat.UINT8, PixelFormat.FLOAT32, PixelFormat.BFLOAT16),
    epoch: fc.nat(1000),
  });
  await fc.assert(
    fc.asyncProperty(anyPlan, async ({ dataset, seed, aa, interpolation, mode, remode, format, epoch }) => {
      const of = plan(
        dataset,
        { aa, trainInterpolation: interpolation, remode, reprob: 0.5 },
        { seed, ...(mode ? { mix: { ...MixSpec.create(), mixupMode: mode } } : {}) },
      );
      const hashes = await Promise.all(
        clients.map(async (one) => sha256((await getBatch({ plan: of, epoch, index: 1, format }, one)).payload)),
      );
      assert.equal(new Set(hashes).size, 1);
    }),
    { numRuns: 25 },
  );
  for (const one of clients.slice(1)) one.close();
  await Promise.all(replicas.map((one) => one.close()));
});

test('more data sets than may be open are served in turn', async () => {
  const narrow = await replica('--max-datasets', '1');
  const from = connectTo(narrow);
  const rounds = Array.from({ length: 4 }, () => ['folder', 'idx', 'cifar']).flat();
  const sums = await Promise.all(rounds.map(async (name) => sha256((await getBatch({ plan: plan(name) }, from)).payload)));
  assert.equal(new Set(sums).size, 3);
  assert.match(await scrape(narrow), /^dropstream_data_open_datasets 1$/m);
  from.close();
  await narrow.close();
});

test('without any replica reading ends as UNAVAILABLE after the total time; a refusal by all ends it at once', async () => {
  const gone = await replica();
  await gone.close();
  const reader = new BatchClient({ addresses: [addressOf(gone)], totalMs: 500 });
  await assert.rejects(reader.batches({ plan: plan('idx'), signal: signal() }).next(), Unavailable);
  reader.close();
  const elsewhere = await replica();
  const both = new BatchClient({ addresses: [addressOf(service), addressOf(elsewhere)] });
  await assert.rejects(both.batches({ plan: plan('b'.repeat(64)), signal: signal() }).next(), NotFound);
  await assert.rejects(both.batches({ plan: plan('idx', { reprob: 3 }), signal: signal() }).next(), InvalidArgument);
  both.close();
  await elsewhere.close();
});

test('reading ends with its signal', async () => {
  const reader = new BatchClient({ addresses: [addressOf(service)] });
  const controller = new AbortController();
  const batches = reader.batches({ plan: plan('idx'), signal: controller.signal });
  await batches.next();
  controller.abort(new Error('enough'));
  await assert.rejects(async () => {
    for (let i = 0; i < 20; i++) await batches.next();
  }, /cancelled/);
  reader.close();
});

test('a slow reader holds its bytes back at the server and gets them right; leaving frees them', async () => {
  const slow = await replica();
  const from = connectTo(slow);
  const large = plan('folder', { inputSize: 640 }, { batchSize: 12 });
  const expected = sha256((await getBatch({ plan: large })).payload);
  const hash = createHash('sha256');
  let chunks = 0;
  for await (const { part } of from.getBatch({ plan: large }, { signal: signal() })) {
    if (part?.$case !== 'chunk') continue;
    hash.update(part.value);
    if (chunks++ < 5) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // A slow reader gets smaller chunks.
  assert.ok(chunks >= Math.ceil((12 * 3 * 640 * 640) / CHUNK_BYTES), `${chunks} chunks`);
  assert.equal(hash.digest('hex'), expected);
  const leaving = from.getBatch({ plan: large }, { signal: signal() })[Symbol.asyncIterator]();
  await leaving.next();
  assert.match(await scrape(slow), new RegExp(`^dropstream_data_batch_bytes ${12 * 3 * 640 * 640 + CHUNK_BYTES}$`, 'm'));
  await leaving.return?.();
  for (let i = 0; i < 100 && !/^dropstream_data_batch_bytes 0$/m.test(await scrape(slow)); i++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.match(await scrape(slow), /^dropstream_data_batch_bytes 0$/m);
  from.close();
  await slow.close();
});

test('health follows the roots', async () => {
  const mount = join(base, 'mount');
  mkdirSync(mount);
  const watching = await replica('--root', mount, '--health-probe-ms', '20');
  const health = connect(HealthClient as ClientClass<typeof HealthClient.service>, addressOf(watching));
  const becomes = async (wanted: HealthCheckResponse_ServingStatus) => {
    for (let i = 0; i < 200; i++) {
      if ((await health.check({ service: '' }, { timeoutMs: 5000 })).status === wanted) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.fail(`never ${HealthCheckResponse_ServingStatus[wanted]}`);
  };
  await becomes(HealthCheckResponse_ServingStatus.SERVING);
  rmSync(mount, { recursive: true });
  await becomes(HealthCheckResponse_ServingStatus.NOT_SERVING);
  mkdirSync(mount);
  await becomes(HealthCheckResponse_ServingStatus.SERVING);
  health.close();
  await watching.close();
});
