/** The data service through real gRPC, over data sets made here. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { PNG } from 'pngjs';
import { finishPlanOf, softTargetsOf } from '#data/batch.js';
import { BatchClient, type BatchFailure } from '#data/batch-client.js';
import { CHUNK_BYTES } from '#data/batch-message.js';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest-store.js';
import { PLAN_SEMANTICS_VERSION } from '#data/plan-digest.js';
import { finishBatch, PIXEL_SEMANTICS_VERSION } from '#native/pixels.js';
import {
  type BatchHeader,
  DataServiceClient,
  type GetBatchRequest,
  MixSpec,
  PixelFormat,
  type Plan,
  Plan as PlanMessage,
  TransformSpec,
} from '#protocol/dropstream/v1/data.js';
import { HealthCheckResponse_ServingStatus, HealthClient } from '#protocol/grpc/health/v1/health.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { DataLoss, FailedPrecondition, InvalidArgument, PermissionDenied, ResourceExhausted, Unavailable } from '#rpc/errors.js';
import type { RunningService } from '#rpc/start-service.js';
import { DirectoryStore } from '#storage/directory-store.js';
import { silentLogger } from '#telemetry/logger.js';
import { writeCifar, writeIdx, writeImageFolder } from '../../test/support/sample-datasets.js';
import { sharedPath } from '../../test/support/shared-folder.js';
import { dataConfig } from './config.js';
import { start } from './main.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-data-service-'));
const root = join(base, 'root');
const storePath = join(base, 'store');
const running = new Set<RunningService>();
const signal = () => AbortSignal.timeout(30_000);

async function replica(...argv: string[]): Promise<RunningService> {
  const config = dataConfig.parse({ argv: ['--port', '0', '--admin-port', '0', '--store', storePath, '--root', root, ...argv] });
  const service = await start(config, { logger: silentLogger(), processMetrics: false });
  running.add(service);
  return service;
}
const addressOf = (service: RunningService) => `127.0.0.1:${service.port}`;

async function index(path: string, split = ''): Promise<string> {
  const store = await DirectoryStore.open(storePath);
  const dataset = await indexDataset(await AllowedRoots.open([base]), path, { split });
  await saveManifest(store, dataset);
  await store.close();
  return dataset.sha256;
}

const manifests: Record<string, string> = {};
let service: RunningService;
let client: ReturnType<typeof connectTo>;
const connectTo = (one: RunningService) => connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, addressOf(one));

before(async () => {
  mkdirSync(root);
  writeImageFolder(join(root, 'folder'), { perClass: 6 });
  writeIdx(join(root, 'idx'), { count: 50 });
  writeCifar(join(root, 'cifar'), 'cifar10');
  for (const name of ['folder', 'idx', 'cifar']) manifests[name] = await index(join(root, name), name === 'folder' ? '' : 'train');
  service = await replica();
  client = connectTo(service);
});
after(async () => {
  client.close();
  await Promise.all([...running].map((one) => one.close()));
  rmSync(base, { recursive: true, force: true });
});

const plan = (dataset: string, transform: Partial<TransformSpec> = {}, rest: Partial<Plan> = {}): Plan => ({
  ...PlanMessage.create(),
  dataset: { manifest: manifests[dataset] ?? dataset },
  seed: 5n,
  batchSize: 4,
  order: 'shuffled',
  transform: {
    ...TransformSpec.create(),
    inputSize: dataset === 'folder' ? 40 : dataset === 'cifar' ? 32 : 28,
    training: true,
    ...transform,
  },
  ...rest,
});

async function getBatch(
  request: Partial<GetBatchRequest>,
  from = client,
): Promise<{ header: BatchHeader; payload: Buffer; chunks: number[] }> {
  let header: BatchHeader | undefined;
  const parts: Buffer[] = [];
  for await (const { part } of from.getBatch(request, { signal: signal() })) {
    if (part?.$case === 'header') header = part.value;
    else if (part) parts.push(Buffer.from(part.value));
  }
  assert.ok(header);
  return { header, payload: Buffer.concat(parts), chunks: parts.map((part) => part.byteLength) };
}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('a data set is described', async () => {
  const described = await client.describeDataset({ dataset: { manifest: manifests.folder! } }, { signal: signal() });
  assert.deepEqual(described, {
    manifest: manifests.folder,
    kind: 'image_folder',
    samples: 18n,
    classes: ['ant', 'bee', 'cat'],
    classCounts: [6n, 6n, 6n],
  });
});

test('every kind of data set gives whole epochs: each sample once, its label, a payload with its hash', async () => {
  for (const [dataset, samples] of [
    ['folder', 18],
    ['idx', 50],
    ['cifar', 30],
  ] as const) {
    for (const order of ['shuffled', 'sequential']) {
      const seen: bigint[] = [];
      let batches = 1;
      for (let index = 0; index < batches; index++) {
        const training = order === 'shuffled';
        const { header, payload } = await getBatch({ plan: plan(dataset, { training }, { order }), epoch: 2, index });
        batches = header.batchesPerEpoch;
        seen.push(...header.samples.map(({ sample }) => sample));
        assert.equal(header.payloadBytes, BigInt(payload.byteLength));
        assert.equal(payload.byteLength, header.samples.length * 3 * header.size ** 2);
        assert.equal(Buffer.from(header.payloadSha256).toString('hex'), sha256(payload));
        assert.equal(header.firstPosition, BigInt(4 * index));
      }
      assert.equal(batches, order === 'shuffled' ? Math.floor(samples / 4) : Math.ceil(samples / 4));
      assert.equal(new Set(seen).size, seen.length);
      if (order === 'sequential')
        assert.deepEqual(
          seen,
          Array.from({ length: samples }, (_, i) => BigInt(i)),
        );
    }
  }
});

test('an untouched image arrives as its file has it', async () => {
  const { header, payload } = await getBatch({ plan: plan('idx', { training: false }, { order: 'sequential' }), index: 1 });
  const file = readFileSync(join(root, 'idx', 'train-images-idx3-ubyte'));
  for (const slot of [0, 3]) {
    const sample = Number(header.samples[slot]!.sample);
    const pixels = file.subarray(16 + sample * 784, 16 + (sample + 1) * 784);
    for (const channel of [0, 1, 2]) assert.ok(payload.subarray((3 * slot + channel) * 784, (3 * slot + channel + 1) * 784).equals(pixels));
    assert.equal(header.samples[slot]!.label, sample % 5);
  }
});

test('finished batches equal the uint8 batch finished by the caller', async () => {
  const mixed = plan('folder', { reprob: 0.8, recount: 2 }, { mix: { ...MixSpec.create(), mixupMode: 'elem' } });
  const raw = await getBatch({ plan: mixed, epoch: 1, index: 2 });
  const slots = raw.header.samples.length;
  assert.ok(raw.header.samples.some(({ erase }) => erase.length > 0) && raw.header.samples.some(({ mix }) => mix));
  for (const [format, array] of [
    [PixelFormat.FLOAT32, Float32Array],
    [PixelFormat.BFLOAT16, Uint16Array],
  ] as const) {
    const { header, payload } = await getBatch({ plan: mixed, epoch: 1, index: 2, format });
    const values = new array(slots * 3 * 40 * 40);
    await finishBatch(raw.payload, slots, 40, finishPlanOf(raw.header), values);
    assert.deepEqual(header.samples, raw.header.samples);
    assert.ok(payload.subarray(0, values.byteLength).equals(Buffer.from(values.buffer)));
    assert.ok(payload.subarray(values.byteLength).equals(Buffer.from(softTargetsOf(raw.header).buffer)));
    assert.equal(Buffer.from(header.payloadSha256).toString('hex'), sha256(payload));
  }
});

test('known batches have known bytes, on every machine and in every version with these semantics', async () => {
  const of = plan(
    'cifar',
    { inputSize: 48, trainInterpolation: 'random', reprob: 0.9, recount: 2 },
    { batchSize: 10, mix: { ...MixSpec.create(), mixupMode: 'elem' } },
  );
  const hashes: string[] = [];
  for (const format of [PixelFormat.UINT8, PixelFormat.FLOAT32, PixelFormat.BFLOAT16]) {
    for (let index = 0; index < 3; index++) hashes.push(sha256((await getBatch({ plan: of, epoch: 1, index, format })).payload));
  }
  assert.equal(manifests.cifar, KNOWN_MANIFEST);
  assert.deepEqual([PIXEL_SEMANTICS_VERSION, PLAN_SEMANTICS_VERSION, sha256(Buffer.from(hashes.join()))], KNOWN_BATCHES);
});

test('chunks are of 256 KiB', async () => {
  const { chunks, payload } = await getBatch({ plan: plan('folder', { inputSize: 400 }, { batchSize: 6 }) });
  assert.equal(payload.byteLength, 6 * 3 * 400 * 400);
  const whole = Math.floor(payload.byteLength / CHUNK_BYTES);
  assert.deepEqual(chunks, [...new Array<number>(whole).fill(CHUNK_BYTES), payload.byteLength - whole * CHUNK_BYTES]);
});

test('seed, epoch, index, rank and options change a batch; threads and replicas do not', async () => {
  const one = await replica('--threads', '1');
  const other = connectTo(one);
  const hash = async (request: Partial<GetBatchRequest>, from = client) => sha256((await getBatch(request, from)).payload);
  const request = { plan: plan('folder') };
  const same = await hash(request);
  assert.equal(await hash(request, other), same);
  const others = [
    { plan: plan('folder', {}, { seed: 6n }) },
    { ...request, epoch: 1 },
    { ...request, index: 2 },
    { plan: plan('folder', {}, { rank: 1, worldSize: 2 }) },
    { plan: plan('folder', { aa: '' }) },
    { plan: plan('folder', {}, { subsetStride: 2, subsetOffset: 1 }) },
  ];
  const hashes = await Promise.all(others.map((changed) => hash(changed)));
  assert.equal(new Set([same, ...hashes]).size, others.length + 1);
  // What stands at a position does not depend on how positions are dealt to ranks.
  assert.equal(hashes[3], await hash({ ...request, index: 1 }));
  other.close();
  await one.close();
});

const jpegs = sharedPath('fixtures', 'augment', 'jpeg');

test('JPEG files of every kind, gray and CMYK among them, make batches', {
  skip: jpegs ? false : 'the shared fixtures are not here',
}, async () => {
  const names = readdirSync(jpegs as string).filter((name) => name.endsWith('.jpg'));
  mkdirSync(join(root, 'jpeg', 'some'), { recursive: true });
  for (const name of names) copyFileSync(join(jpegs as string, name), join(root, 'jpeg', 'some', name));
  const manifest = await index(join(root, 'jpeg'));
  const of = plan(manifest, { inputSize: 48 }, { batchSize: names.length });
  const { header, payload } = await getBatch({ plan: of });
  assert.deepEqual([header.samples.length, header.replaced], [names.length, []]);
  const untouched = plan(manifest, { inputSize: 48, training: false }, { batchSize: names.length, order: 'sequential' });
  const gray = names.toSorted().findIndex((name) => name.startsWith('gray'));
  const pixels = (await getBatch({ plan: untouched })).payload.subarray(gray * 3 * 48 * 48, (gray + 1) * 3 * 48 * 48);
  assert.ok(pixels.subarray(0, 48 * 48).equals(pixels.subarray(48 * 48, 2 * 48 * 48)));
  assert.equal(payload.byteLength, names.length * 3 * 48 * 48);
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

test('a preview shows the images with what was done to each', async () => {
  const mixed = plan('folder', { reprob: 1 }, { mix: { ...MixSpec.create(), mixup: 0 } });
  const { images } = await client.previewBatch({ plan: mixed, limit: 3 }, { signal: signal() });
  assert.equal(images.length, 3);
  for (const { png, steps, className } of images) {
    const { width, height } = PNG.sync.read(Buffer.from(png));
    assert.deepEqual([width, height], [40, 40]);
    assert.match(steps[0]!, /^crop \d+ x \d+ at \(\d+, \d+\), resize to 40/);
    assert.ok(steps.some((step) => step.startsWith('erase')));
    assert.ok(['ant', 'bee', 'cat'].includes(className));
  }
  assert.ok(images.some(({ steps }) => steps.some((step) => /^cutmix: .* from its partner; target/.test(step))));
  // Without mixing and erasing it is the batch itself.
  const plain = plan('folder', { reprob: 0 });
  const [batch, preview] = [await getBatch({ plan: plain }), await client.previewBatch({ plan: plain, limit: 2 }, { signal: signal() })];
  const png = PNG.sync.read(Buffer.from(preview.images[1]!.png));
  for (const p of [0, 777, 1599]) for (const c of [0, 1, 2]) assert.equal(png.data[4 * p + c], batch.payload[(3 + c) * 1600 + p]);
});

async function violationsOf(request: Partial<GetBatchRequest>): Promise<string[]> {
  try {
    await getBatch(request);
  } catch (error) {
    assert.ok(error instanceof InvalidArgument, String(error));
    return error.violations.map(({ field }) => field);
  }
  return assert.fail('nothing was refused');
}

test('bad input is INVALID_ARGUMENT, every field named', async () => {
  const mix = MixSpec.create();
  const refused: [Partial<GetBatchRequest>, string[]][] = [
    [{}, ['plan.dataset.manifest', 'plan.batch_size', 'plan.transform']],
    [{ parent: 'nonsense', plan: plan('idx'), format: 9 as PixelFormat, readAhead: 65 }, ['format', 'read_ahead', 'parent']],
    [
      { plan: plan('idx', { aa: 'augmix', reprob: 2 }, { order: 'random', rank: 3 }) },
      ['plan.order', 'plan.rank', 'plan.transform.aa', 'plan.transform.reprob'],
    ],
    [{ plan: plan('idx', {}, { batchSize: 3, mix }) }, ['plan.batch_size']],
    [{ plan: plan('idx', {}, { order: 'sequential', mix }) }, ['plan.order']],
    [{ plan: plan('idx', {}, { mix: { ...mix, mixup: -1, cutmixMinmax: [1, 0] } }) }, ['plan.mix.mixup', 'plan.mix.cutmix_minmax']],
    [{ plan: plan('idx', {}, { batchSize: 51 }) }, ['plan.batch_size']],
    [{ plan: plan('idx', { inputSize: 24, training: false }) }, ['plan.transform.input_size']],
    [{ plan: plan('idx'), index: 12 }, ['index']],
    [{ plan: plan('idx'), planDigest: 'x' }, ['plan_digest']],
    [{ plan: plan('idx', {}, { subsetStride: 3, subsetOffset: 3 }) }, ['plan.subset_offset']],
  ];
  for (const [request, fields] of refused) assert.deepEqual(await violationsOf(request), fields, JSON.stringify(fields));
});

test('another understanding of the plan and a missing manifest are FAILED_PRECONDITION', async () => {
  await assert.rejects(getBatch({ plan: plan('idx'), planDigest: '0'.repeat(64) }), FailedPrecondition);
  await assert.rejects(getBatch({ plan: plan('idx', {}, { pixelSemantics: PIXEL_SEMANTICS_VERSION + 1 }) }), FailedPrecondition);
  await assert.rejects(getBatch({ plan: plan('a'.repeat(64)) }), FailedPrecondition);
  const { header } = await getBatch({ plan: plan('idx', {}, { pixelSemantics: PIXEL_SEMANTICS_VERSION }) });
  await getBatch({ plan: plan('idx'), planDigest: header.planDigest });
});

test('a data set outside the roots is PERMISSION_DENIED; one indexed later is found', async () => {
  writeIdx(join(base, 'outside'), { count: 8, classes: 3, side: 30 });
  const manifest = await index(join(base, 'outside'));
  await assert.rejects(getBatch({ plan: plan(manifest) }), PermissionDenied);
  writeIdx(join(root, 'outside'), { count: 8, classes: 3, side: 30 });
  await getBatch({ plan: plan(manifest) });
});

test('changed bytes are DATA_LOSS', async () => {
  writeImageFolder(join(root, 'changing'), { perClass: 2, size: 36 });
  const manifest = await index(join(root, 'changing'));
  const all = plan(manifest, { inputSize: 36 }, { batchSize: 6 });
  await getBatch({ plan: all });
  const file = join(root, 'changing', 'bee', '1.png');
  writeFileSync(file, Buffer.concat([readFileSync(file).subarray(0, -1), Buffer.from('x')]));
  await assert.rejects(getBatch({ plan: all }), (error) => error instanceof DataLoss && /bee\/1\.png/.test(error.message));
});

test('an image that cannot be decoded is replaced by the same one everywhere, counted and named', async () => {
  writeImageFolder(join(root, 'broken'), { perClass: 3, size: 36 });
  const file = join(root, 'broken', 'bee', '1.png');
  writeFileSync(file, readFileSync(file).subarray(0, 200)); // the header is whole, the pixels are not
  const manifest = await index(join(root, 'broken'));
  const two = await replica();
  const from = connectTo(two);
  const all = plan(manifest, { inputSize: 36 }, { batchSize: 9 });
  const batches = await Promise.all([getBatch({ plan: all, epoch: 3 }), getBatch({ plan: all, epoch: 3 }, from)]);
  const [{ header, payload }, other] = batches;
  assert.ok(payload.equals(other!.payload));
  assert.deepEqual(header.replaced, other!.header.replaced);
  const [replaced] = header.replaced;
  assert.equal(header.replaced.length, 1);
  assert.deepEqual([replaced!.path, replaced!.sample], ['bee/1.png', 4n]);
  assert.notEqual(replaced!.reason, '');
  assert.equal(header.samples[replaced!.slot]!.sample, replaced!.replacement);
  assert.notEqual(replaced!.replacement, 4n);
  assert.equal(header.samples[replaced!.slot]!.label, Math.floor(Number(replaced!.replacement) / 3));
  assert.match(await two.registry.metrics(), /dropstream_data_undecodable_images_total 1/);
  from.close();
  await two.close();
});

test('a batch over the byte budget, and a queue that is full, are RESOURCE_EXHAUSTED', async () => {
  // Half of it for batches.
  const small = await replica('--max-bytes', String(2 << 20), '--max-waiting', '0', '--concurrency', '1');
  const from = connectTo(small);
  await assert.rejects(getBatch({ plan: plan('folder', { inputSize: 512 }) }, from), ResourceExhausted);
  const many = await Promise.allSettled(
    Array.from({ length: 12 }, (_, index) => getBatch({ plan: plan('folder', { inputSize: 200 }), index: index % 4 }, from)),
  );
  const refused = many.filter((one) => one.status === 'rejected');
  assert.ok(refused.length > 0 && refused.length < 12, `${refused.length} of 12 were refused`);
  for (const { reason } of refused) assert.ok(reason instanceof ResourceExhausted, String(reason));
  // A client that waits its turn gets them all.
  const reader = new BatchClient({ addresses: [addressOf(small)], inFlight: 6 });
  let count = 0;
  for await (const batch of reader.batches({ plan: plan('folder', { inputSize: 200 }), epochs: 2, signal: signal() })) {
    count++;
    batch.release();
  }
  assert.equal(count, 8);
  reader.close();
  from.close();
  await small.close();
});

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
    interpolation: fc.constantFrom('random', 'bicubic', 'bilinear'),
    mode: fc.constantFrom('batch', 'pair', 'elem', undefined),
    remode: fc.constantFrom('pixel', 'rand', 'const'),
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

test('without any replica reading ends as UNAVAILABLE after the total time; a refusal by all ends it at once', async () => {
  const gone = await replica();
  await gone.close();
  const reader = new BatchClient({ addresses: [addressOf(gone)], totalMs: 500 });
  await assert.rejects(reader.batches({ plan: plan('idx'), signal: signal() }).next(), Unavailable);
  reader.close();
  const elsewhere = await replica();
  const both = new BatchClient({ addresses: [addressOf(service), addressOf(elsewhere)] });
  await assert.rejects(both.batches({ plan: plan('b'.repeat(64)), signal: signal() }).next(), FailedPrecondition);
  await assert.rejects(both.batches({ plan: plan('idx', { reprob: 3 }), signal: signal() }).next(), InvalidArgument);
  both.close();
  await elsewhere.close();
});

test('a root that is not there is refused at the start', async () => {
  await assert.rejects(
    replica('--root', join(base, 'none')),
    (error) => error instanceof InvalidArgument && error.violations[0]?.field === '--root',
  );
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
  assert.equal(chunks, Math.ceil((12 * 3 * 640 * 640) / CHUNK_BYTES));
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

const scrape = async ({ adminPort }: RunningService) => await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();

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

const KNOWN_MANIFEST = '31234ef96c90bb034dac1d1ba2914a6483bb65b5b75240fbe0c0ecc57e93169c';
/** Pixel semantics, plan semantics, and the SHA-256 over the SHA-256s of nine payloads: the last changes with a version before it only. */
const KNOWN_BATCHES = [1, 1, 'e2ba57c74c94fd0f696a4d1cf96020275f69713d7da523be7b285f810ba8c0b0'];
