/** What batches hold, through real gRPC. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PNG } from 'pngjs';
import { finishPlanOf, softTargetsOf } from '#data/client/batch.js';
import { CHUNK_BYTES } from '#data/client/batch-message.js';
import { PLAN_SEMANTICS_VERSION } from '#data/plan/plan-digest.js';
import { finishBatch, PIXEL_SEMANTICS_VERSION } from '#native/pixels.js';
import {
  EraseMode,
  type GetBatchRequest,
  MixSpec,
  MixupMode,
  PixelFormat,
  PreviewBatchResponse,
  SampleOrder,
  TrainInterpolation,
} from '#protocol/dropstream/v1/data.js';
import { InvalidArgument } from '#rpc/client.js';
import { connectTo, dataReplicas, sha256, signal } from '../../test/support/data-replicas.js';
import { sharedPath } from '../../test/support/shared-folder.js';

const { root, manifests, client, replica, index, plan, getBatch } = await dataReplicas();

test('a data set is described', async () => {
  const described = await client.describeDataset({ dataset: { manifest: manifests.folder! } }, { signal: signal() });
  assert.deepEqual(described, {
    manifest: manifests.folder,
    kind: 'image_folder',
    samples: 18n,
    classes: ['ant', 'bee', 'cat'],
    classCounts: [6n, 6n, 6n],
    epochSamples: 0n,
    batchesPerEpoch: 0,
  });
});

test('every kind of data set gives whole epochs: each sample once, its label, a payload with its hash', async () => {
  for (const [dataset, samples] of [
    ['folder', 18],
    ['idx', 50],
    ['cifar', 30],
  ] as const) {
    for (const order of [SampleOrder.SHUFFLED, SampleOrder.SEQUENTIAL]) {
      const seen: bigint[] = [];
      let batches = 1;
      for (let index = 0; index < batches; index++) {
        const training = order === SampleOrder.SHUFFLED;
        const { header, payload } = await getBatch({ plan: plan(dataset, { training }, { order }), epoch: 2, index });
        batches = header.batchesPerEpoch;
        seen.push(...header.samples.map(({ sample }) => sample));
        assert.equal(header.payloadBytes, BigInt(payload.byteLength));
        assert.equal(payload.byteLength, header.samples.length * 3 * header.size ** 2);
        assert.equal(Buffer.from(header.payloadSha256).toString('hex'), sha256(payload));
        assert.equal(header.firstPosition, BigInt(4 * index));
      }
      assert.equal(batches, order === SampleOrder.SHUFFLED ? Math.floor(samples / 4) : Math.ceil(samples / 4));
      assert.equal(new Set(seen).size, seen.length);
      if (order === SampleOrder.SEQUENTIAL)
        assert.deepEqual(
          seen,
          Array.from({ length: samples }, (_, i) => BigInt(i)),
        );
    }
  }
});

test('an untouched image arrives as its file has it', async () => {
  const { header, payload } = await getBatch({ plan: plan('idx', { training: false }, { order: SampleOrder.SEQUENTIAL }), index: 1 });
  const file = readFileSync(join(root, 'idx', 'train-images-idx3-ubyte'));
  for (const slot of [0, 3]) {
    const sample = Number(header.samples[slot]!.sample);
    const pixels = file.subarray(16 + sample * 784, 16 + (sample + 1) * 784);
    for (const channel of [0, 1, 2]) assert.ok(payload.subarray((3 * slot + channel) * 784, (3 * slot + channel + 1) * 784).equals(pixels));
    assert.equal(header.samples[slot]!.label, sample % 5);
  }
});

test('finished batches equal the uint8 batch finished by the caller', async () => {
  const mixed = plan('folder', { reprob: 0.8, recount: 2 }, { mix: { ...MixSpec.create(), mixupMode: MixupMode.ELEM } });
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
    { inputSize: 48, trainInterpolation: TrainInterpolation.RANDOM, reprob: 0.9, recount: 2 },
    { batchSize: 10, mix: { ...MixSpec.create(), mixupMode: MixupMode.ELEM } },
  );
  const hashes: string[] = [];
  for (const format of [PixelFormat.UINT8, PixelFormat.FLOAT32, PixelFormat.BFLOAT16]) {
    for (let index = 0; index < 3; index++) hashes.push(sha256((await getBatch({ plan: of, epoch: 1, index, format })).payload));
  }
  assert.equal(manifests.cifar, KNOWN_MANIFEST);
  assert.deepEqual([PIXEL_SEMANTICS_VERSION, PLAN_SEMANTICS_VERSION, sha256(Buffer.from(hashes.join()))], KNOWN_BATCHES);
});

test('chunks begin with 64 KiB and grow to 256 KiB for a reader that takes them', async () => {
  const { chunks, payload } = await getBatch({ plan: plan('folder', { inputSize: 400 }, { batchSize: 6 }) });
  assert.equal(payload.byteLength, 6 * 3 * 400 * 400);
  assert.equal(chunks[0], CHUNK_BYTES / 4);
  assert.ok(chunks.every((bytes) => bytes <= CHUNK_BYTES));
  assert.equal(
    chunks.reduce((sum, bytes) => sum + bytes, 0),
    payload.byteLength,
  );
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
  const untouched = plan(manifest, { inputSize: 48, training: false }, { batchSize: names.length, order: SampleOrder.SEQUENTIAL });
  const gray = names.toSorted().findIndex((name) => name.startsWith('gray'));
  const pixels = (await getBatch({ plan: untouched })).payload.subarray(gray * 3 * 48 * 48, (gray + 1) * 3 * 48 * 48);
  assert.ok(pixels.subarray(0, 48 * 48).equals(pixels.subarray(48 * 48, 2 * 48 * 48)));
  assert.equal(payload.byteLength, names.length * 3 * 48 * 48);
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

test('a preview shows the slots of the batch as training sees them, for any limit and page', async () => {
  const size = 40;
  for (const [remode, mix] of [
    [EraseMode.PIXEL, { mixup: 0.8, cutmix: 1, mixupMode: MixupMode.ELEM }],
    [EraseMode.RAND, { mixup: 0, cutmix: 1, mixupMode: MixupMode.PAIR }],
    [EraseMode.PIXEL, { mixup: 0, cutmix: 0 }],
  ] as const) {
    const of = plan('folder', { reprob: 1, recount: 3, remode }, { batchSize: 8, mix: { ...MixSpec.create(), ...mix } });
    const { header, payload } = await getBatch({ plan: of, epoch: 1, index: 1, format: PixelFormat.FLOAT32 });
    assert.ok(header.samples.every(({ erase }) => erase.length > 0));
    const values = new Float32Array(Uint8Array.from(payload).buffer, 0, 8 * 3 * size * size);
    const bytes = values.map((value, i) => {
      const channel = Math.floor(i / size ** 2) % 3;
      return Math.min(255, Math.max(0, Math.round((value * header.std[channel]! + header.mean[channel]!) * 255)));
    });
    for (const limit of [1, 3, 5, 8]) {
      let [pageToken, slot] = ['', 0];
      do {
        const page = await client.previewBatch({ plan: of, epoch: 1, index: 1, limit, pageToken }, { signal: signal() });
        for (const { png, sample } of page.images) {
          assert.equal(sample, header.samples[slot]!.sample);
          const { data } = PNG.sync.read(Buffer.from(png));
          const shown = Float32Array.from({ length: 3 * size ** 2 }, (_, i) => data[4 * (i % size ** 2) + Math.floor(i / size ** 2)]!);
          assert.deepEqual(
            shown,
            bytes.subarray(slot * shown.length, (slot + 1) * shown.length),
            `${EraseMode[remode]}: slot ${slot} with limit ${limit}`,
          );
          slot++;
        }
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      assert.equal(slot, 8);
    }
  }
});

test('a preview of large images comes in pages below 4 MiB, each image once', async () => {
  const large = plan('folder', { inputSize: 800, reprob: 1, recount: 16 }, { batchSize: 12 });
  const batch = await getBatch({ plan: large });
  const slots = batch.header.samples.map(({ sample }) => sample);
  const seen: bigint[] = [];
  let [pageToken, pages] = ['', 0];
  do {
    const page = await client.previewBatch({ plan: large, limit: 64, pageToken }, { signal: signal() });
    assert.ok(page.images.length > 0 && PreviewBatchResponse.encode(page).finish().byteLength < 4 << 20);
    seen.push(...page.images.map(({ sample }) => sample));
    pageToken = page.nextPageToken;
    pages++;
  } while (pageToken !== '');
  assert.deepEqual(seen, slots);
  assert.ok(pages > 1, `${pages} pages`);
  // A token belongs to its batch.
  const first = await client.previewBatch({ plan: large, limit: 1 }, { signal: signal() });
  await assert.rejects(
    client.previewBatch({ plan: large, epoch: 1, pageToken: first.nextPageToken }, { signal: signal() }),
    InvalidArgument,
  );
});

const KNOWN_MANIFEST = '31234ef96c90bb034dac1d1ba2914a6483bb65b5b75240fbe0c0ecc57e93169c';

/** Pixel semantics, plan semantics, and the SHA-256 over the SHA-256s of nine payloads: the last changes with a version before it only. */
const KNOWN_BATCHES = [2, 1, 'e2ba57c74c94fd0f696a4d1cf96020275f69713d7da523be7b285f810ba8c0b0'];
