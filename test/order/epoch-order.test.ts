/** The order of an epoch, recomputed by an independent program from its description in docs/epoch-order.md. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { Manifest } from '#data/manifest/manifest.js';
import { BatchPlanner } from '#data/plan/batch-plan.js';
import { subsetSize } from '#data/plan/order.js';
import { resolvePlan } from '#data/plan/plan.js';
import { Plan, TransformSpec } from '#protocol/dropstream/v1/data.js';
import { sampleOrders } from '#spec/words.js';
import { encodeManifest } from '../support/encode-manifest.js';

const python = process.env.DROPSTREAM_PYTHON ?? 'python3';
const skip = spawnSync(python, ['--version']).status === 0 ? false : `there is no ${python} (DROPSTREAM_PYTHON names another one)`;
const program = fileURLToPath(new URL('epoch_order.py', import.meta.url));

/** A manifest of so many samples; its hash stands for its content. */
function manifestOf(samples: number, sha256: string): Manifest {
  const entry = { path: 'a', record: 0, label: 0, width: 8, height: 8, byteLength: 1, sha256: new Uint8Array(32) };
  const layout = { headerBytes: 0, recordBytes: 1, pixelOffset: 0, pixels: 'gray' as const };
  const entries = Array.from({ length: samples }, (_, record) => ({ ...entry, record }));
  return new Manifest(encodeManifest({ kind: 'idx', split: '', classes: ['a'], layout, entries }).bytes, sha256);
}

const anyPlan = fc
  .record({
    samples: fc.integer({ min: 1, max: 500 }),
    manifest: fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: 64, maxLength: 64 }).map((digits) => digits.join('')),
    seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    epoch: fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
    order: fc.constantFrom(...sampleOrders.words),
    batchSize: fc.integer({ min: 1, max: 40 }),
    worldSize: fc.integer({ min: 1, max: 4 }),
    rank: fc.nat(3),
    stride: fc.oneof(fc.constant(0), fc.integer({ min: 2, max: 9 })),
    offset: fc.nat(8),
    invert: fc.boolean(),
    blockSamples: fc.integer({ min: 1, max: 70 }),
    blocksMixed: fc.integer({ min: 1, max: 9 }),
  })
  .map((plan) => ({
    ...plan,
    rank: plan.rank % plan.worldSize,
    offset: plan.stride === 0 ? 0 : plan.offset % plan.stride,
    invert: plan.stride !== 0 && plan.invert,
  }))
  .filter(({ samples, stride, offset, invert }) => subsetSize(samples, { stride, offset, invert }) > 0);

test('an independent program computes the same batches for any plan', { skip }, () => {
  const plans = fc.sample(anyPlan, 300);
  const input = plans.map((plan) => JSON.stringify({ ...plan, seed: String(plan.seed) })).join('\n');
  const answers = execFileSync(python, [program], { input: `${input}\n`, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 300_000 });
  const lines = answers.trimEnd().split('\n');
  assert.equal(lines.length, plans.length);
  for (const [i, { samples, epoch, stride, offset, invert, blockSamples, blocksMixed, manifest, ...plan }] of plans.entries()) {
    const inBlocks = plan.order === 'blocks';
    const message = Plan.fromPartial({
      ...plan,
      order: sampleOrders.fromWord(plan.order),
      dataset: { manifest },
      transform: TransformSpec.fromPartial({ inputSize: 8, training: false }),
      subsetStride: stride,
      subsetOffset: offset,
      subsetInvert: invert,
      blockSamples: inBlocks ? blockSamples : undefined,
      blocksMixed: inBlocks ? blocksMixed : undefined,
    });
    const planner = new BatchPlanner(resolvePlan(message), manifestOf(samples, manifest));
    const batches = Array.from({ length: planner.batchesPerEpoch }, (_, index) =>
      planner.batch(epoch, index).samples.map(({ sample, padding }) => [sample, padding]),
    );
    assert.deepEqual(batches, JSON.parse(lines[i] as string), JSON.stringify(Plan.toJSON(message)));
  }
});
