import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { HostImages } from '#engine/index.js';
import { type Plan, SampleOrder } from '#protocol/dropstream/v1/data.js';
import { TrainingServices } from '../../test/support/training-services.js';
import { type PreparedBatch, PreparedBatches } from './prepared-batches.js';

const samples = 40;
const [size, classes] = [28, 7];

let services: TrainingServices;
let address: string;
before(async () => {
  services = await TrainingServices.open({ train: 8, test: samples });
  address = await services.data();
});
after(() => services.close());

function open(buffers: number, signal = AbortSignal.timeout(60_000), from = address): PreparedBatches {
  const plan: Plan = {
    dataset: { manifest: services.evalManifest },
    seed: 0n,
    batchSize: 16,
    rank: 0,
    worldSize: 1,
    order: SampleOrder.SEQUENTIAL,
    transform: { inputSize: size, training: false },
    mix: undefined,
    pixelSemantics: 0,
    subsetStride: 0,
    subsetOffset: 0,
    subsetInvert: false,
  };
  const request = { plan, parent: 'projects/p', epochs: 1, signal };
  return new PreparedBatches({ data: { addresses: [from] }, request, program: new HostImages(), classes, buffers });
}

/** The host finishes the images here. */
const floatsOf = ({ images }: PreparedBatch): Float32Array => {
  assert.ok(images instanceof Float32Array);
  return images;
};

test('every sample comes once, in order, with its target; buffers are used again; the end is undefined', async () => {
  const signal = AbortSignal.timeout(60_000);
  const batches = open(2);
  const labels: number[] = [];
  const memory = new Set<ArrayBufferLike>();
  for (let batch = await batches.next(signal); batch !== undefined; batch = await batches.next(signal)) {
    assert.equal(floatsOf(batch).length, batch.samples * 3 * size * size);
    assert.equal(batch.targets.length, batch.samples * classes);
    for (const [i, label] of batch.labels.entries())
      assert.deepEqual(
        [...batch.targets.subarray(i * classes, (i + 1) * classes)],
        Array.from({ length: classes }, (_, k) => Number(k === label)),
      );
    labels.push(...batch.labels);
    memory.add(floatsOf(batch).buffer);
    batch.release();
  }
  // The tiny data set has five classes, which alternate.
  assert.deepEqual(
    labels,
    Array.from({ length: samples }, (_, k) => k % 5),
  );
  assert.ok(memory.size <= 2, `${memory.size} buffers`);
  assert.equal(await batches.next(signal), undefined, 'and stays undefined');
  await batches.close();
});

test('no more batches are prepared than there are buffers, until one is handed back', async () => {
  const signal = AbortSignal.timeout(60_000);
  const batches = open(1);
  const first = (await batches.next(signal)) as PreparedBatch;
  const images = Float32Array.from(floatsOf(first));
  await assert.rejects(batches.next(AbortSignal.timeout(200)), { name: 'TimeoutError' });
  assert.deepEqual(first.images, images, 'a batch in use is left alone');
  first.release();
  first.release();
  const second = (await batches.next(signal)) as PreparedBatch;
  assert.equal(floatsOf(second).buffer, floatsOf(first).buffer);
  await assert.rejects(batches.next(AbortSignal.timeout(200)), { name: 'TimeoutError' }, 'a second release hands nothing back');
  await batches.close();
});

test('the signal of the request ends the reading', async () => {
  const claim = new AbortController();
  const batches = open(1, claim.signal);
  const held = await batches.next(AbortSignal.timeout(60_000));
  claim.abort(new Error('the claim was lost'));
  held?.release();
  await assert.rejects(batches.next(AbortSignal.timeout(60_000)), /claim was lost|cancelled/i);
  await batches.close();
});

test('closing ends the wait for a replica that does not answer', { timeout: 20_000 }, async () => {
  const batches = open(1, undefined, '127.0.0.1:1');
  await assert.rejects(batches.next(AbortSignal.timeout(300)), { name: 'TimeoutError' });
  await batches.close();
});
