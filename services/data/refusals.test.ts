/** What the data service refuses or replaces, and how it says so, through real gRPC. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BatchClient } from '#data/client/batch-client.js';
import { DataLoss, FailedPrecondition, InvalidArgument, NeverFits, NotFound, PermissionDenied, ResourceExhausted } from '#errors/errors.js';
import { PIXEL_SEMANTICS_VERSION } from '#native/pixels.js';
import {
  type EraseMode,
  type GetBatchRequest,
  MixSpec,
  type MixupMode,
  type PixelFormat,
  SampleOrder,
  type TrainInterpolation,
} from '#protocol/dropstream/v1/data.js';
import { addressOf, connectTo, dataReplicas, signal } from '../../test/support/data-replicas.js';
import { writeIdx, writeImageFolder } from '../../test/support/sample-datasets.js';

const { base, root, replica, index, plan, getBatch } = await dataReplicas();

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
    [{ parent: 'nonsense', plan: plan('idx') }, ['parent']],
    [{ plan: plan('idx'), format: 9 as PixelFormat, readAhead: 65 }, ['format', 'read_ahead']],
    [
      { plan: plan('idx', { aa: 'augmix', reprob: 2 }, { order: 9 as SampleOrder, rank: 3 }) },
      ['plan.order', 'plan.rank', 'plan.transform.aa', 'plan.transform.reprob'],
    ],
    [
      {
        plan: plan(
          'idx',
          { trainInterpolation: 9 as TrainInterpolation, remode: -1 as EraseMode },
          { mix: { ...mix, mixupMode: 4 as MixupMode } },
        ),
      },
      ['plan.transform.train_interpolation', 'plan.transform.remode', 'plan.mix.mixup_mode'],
    ],
    [{ plan: plan('idx', {}, { batchSize: 3, mix }) }, ['plan.batch_size']],
    [{ plan: plan('idx', {}, { order: SampleOrder.SEQUENTIAL, mix }) }, ['plan.order']],
    [{ plan: plan('idx', {}, { mix: { ...mix, mixup: -1, cutmixMinmax: [1, 0] } }) }, ['plan.mix.mixup', 'plan.mix.cutmix_minmax']],
    [{ plan: plan('idx', {}, { batchSize: 51 }) }, ['plan.batch_size']],
    [{ plan: plan('idx', { inputSize: 24, training: false }) }, ['plan.transform.input_size']],
    [{ plan: plan('idx'), index: 12 }, ['index']],
    [{ plan: plan('idx'), planDigest: 'x' }, ['plan_digest']],
    [{ plan: plan('idx', {}, { subsetStride: 3, subsetOffset: 3 }) }, ['plan.subset_offset']],
  ];
  for (const [request, fields] of refused) assert.deepEqual(await violationsOf(request), fields, JSON.stringify(fields));
});

test('another understanding of the plan is FAILED_PRECONDITION, a missing manifest NOT_FOUND', async () => {
  await assert.rejects(getBatch({ plan: plan('idx'), planDigest: '0'.repeat(64) }), FailedPrecondition);
  await assert.rejects(getBatch({ plan: plan('idx', {}, { pixelSemantics: PIXEL_SEMANTICS_VERSION + 1 }) }), FailedPrecondition);
  await assert.rejects(getBatch({ plan: plan('a'.repeat(64)) }), NotFound);
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

test('a batch over the byte budget never fits; a queue that is full is RESOURCE_EXHAUSTED', async () => {
  // Half of it for batches.
  const small = await replica('--max-bytes', String(2 << 20), '--max-waiting', '0', '--concurrency', '1');
  const from = connectTo(small);
  await assert.rejects(getBatch({ plan: plan('folder', { inputSize: 512 }) }, from), NeverFits);
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

test('a root that is not there is refused at the start', async () => {
  await assert.rejects(
    replica('--root', join(base, 'none')),
    (error) => error instanceof InvalidArgument && error.violations[0]?.field === '--root',
  );
});
