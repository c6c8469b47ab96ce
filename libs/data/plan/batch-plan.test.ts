import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InvalidArgument } from '#errors/errors.js';
import {
  EraseMode,
  MixSpec,
  MixupMode,
  Plan as PlanMessage,
  SampleOrder,
  TrainInterpolation,
  TransformSpec,
} from '#protocol/dropstream/v1/data.js';
import { encodeManifest } from '../../../test/support/encode-manifest.js';
import { Manifest } from '../manifest/manifest.js';
import { BatchPlanner, MAX_REPLACEMENTS } from './batch-plan.js';
import { checkPlanFits, resolvePlan } from './plan.js';
import { planDigest, planText } from './plan-digest.js';

function manifestOf(samples: number, side: (i: number) => number = (i) => 100 + (i % 50)): Manifest {
  const entries = Array.from({ length: samples }, (_, i) => ({
    path: `c/${i}.jpg`,
    record: 0,
    label: i % 3,
    width: side(i),
    height: side(i),
    byteLength: 5,
    sha256: new Uint8Array(32).fill(i),
  }));
  const { bytes, sha256 } = encodeManifest({ kind: 'image_folder', split: '', classes: ['a', 'b', 'c'], entries });
  return new Manifest(bytes, sha256);
}

const manifest = manifestOf(100);
const message = (changes: Partial<PlanMessage> = {}, transform: Partial<TransformSpec> = {}): PlanMessage => ({
  ...PlanMessage.create(),
  dataset: { manifest: manifest.sha256 },
  batchSize: 8,
  order: SampleOrder.SHUFFLED,
  transform: { ...TransformSpec.create(), inputSize: 64, training: true, ...transform },
  ...changes,
});
const planner = (changes: Partial<PlanMessage> = {}, of = manifest) => new BatchPlanner(resolvePlan(message(changes)), of);

test('a batch plan is a pure function, the same after any other was made', () => {
  const one = planner({ mix: MixSpec.create() });
  const other = planner({ mix: MixSpec.create() });
  const expected = one.batch(3, 5);
  for (const [epoch, index] of [
    [0, 0],
    [3, 6],
    [4, 5],
  ] as const)
    other.batch(epoch, index);
  assert.deepEqual(other.batch(3, 5), expected);
  assert.notDeepEqual(one.batch(4, 5), expected);
});

test('the samples of a position do not depend on batch size, rank and world', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 4 }), fc.nat(50), (batchSize, worldSize, epoch) => {
      const whole = planner({ batchSize: 1 });
      for (let rank = 0; rank < worldSize; rank++) {
        const mine = planner({ batchSize, worldSize, rank });
        const index = mine.batchesPerEpoch - 1;
        for (const planned of mine.batch(epoch, index).samples) assert.deepEqual(whole.batch(epoch, planned.position).samples[0], planned);
      }
    }),
    { numRuns: 30 },
  );
});

test('a subset draws from its own samples only, stand-ins too', () => {
  const held = planner({ subsetStride: 10, subsetOffset: 3, subsetInvert: true });
  assert.equal(held.samples, 90);
  for (let position = 0; position < 90; position++) {
    assert.notEqual(held.sampleAt(1, position) % 10, 3);
    for (let attempt = 1; attempt <= MAX_REPLACEMENTS; attempt++) assert.notEqual(held.replacement(1, position, attempt).sample % 10, 3);
  }
});

test('stand-ins are a pure function of position and attempt, and differ between attempts', () => {
  const one = planner();
  const samples = Array.from({ length: MAX_REPLACEMENTS }, (_, k) => one.replacement(2, 17, k + 1));
  assert.deepEqual(planner().replacement(2, 17, 3), samples[2]);
  assert.ok(new Set(samples.map(({ sample }) => sample)).size > MAX_REPLACEMENTS / 2);
  assert.equal(new Set(samples.map(({ plan }) => JSON.stringify(plan))).size, MAX_REPLACEMENTS);
});

test('sequential epochs keep the order of the manifest and end with a short batch', () => {
  const one = planner({ order: SampleOrder.SEQUENTIAL, batchSize: 30 });
  assert.equal(one.batchesPerEpoch, 4);
  assert.deepEqual(
    one.batch(7, 3).samples.map(({ sample }) => sample),
    [90, 91, 92, 93, 94, 95, 96, 97, 98, 99],
  );
  assert.throws(() => one.batch(0, 4), RangeError);
});

test('padded epochs fill the last batches up and mark it', () => {
  const ranks = [0, 1].map((rank) => planner({ order: SampleOrder.PADDED, batchSize: 30, worldSize: 2, rank }));
  assert.deepEqual(
    ranks.map(({ batchesPerEpoch }) => batchesPerEpoch),
    [2, 2],
  );
  const last = ranks[1]!.batch(0, 1);
  assert.deepEqual([last.firstPosition, last.samples.length], [90, 30]);
  assert.deepEqual(
    last.samples.map(({ sample, padding }) => [sample, padding]),
    Array.from({ length: 30 }, (_, slot) => [(90 + slot) % 100, slot >= 10]),
  );
  assert.ok(ranks[0]!.batch(0, 1).samples.every(({ padding }) => !padding));
});

test('blocks are part of the plan and of its digest, and of those of no other order', () => {
  const blocks = resolvePlan(message({ order: SampleOrder.BLOCKS }));
  assert.deepEqual(blocks.blocks, { blockSamples: 1024, blocksMixed: 16 });
  const digests = [
    blocks,
    resolvePlan(message({ order: SampleOrder.BLOCKS, blockSamples: 8 })),
    resolvePlan(message({ order: SampleOrder.BLOCKS, blocksMixed: 8 })),
  ];
  assert.equal(new Set(digests.map((plan) => planDigest(plan, 1))).size, 3);
  assert.doesNotMatch(planText(resolvePlan(message()), 1), /blocks/);
  assert.throws(() => resolvePlan(message({ blockSamples: 8 })), /plan\.block_samples/);
  assert.throws(() => resolvePlan(message({ order: SampleOrder.BLOCKS, blocksMixed: 0 })), /plan\.blocks_mixed/);
});

test('the digest changes with everything that decides a batch, and with nothing else', () => {
  const digest = (changes: Partial<PlanMessage> = {}, transform: Partial<TransformSpec> = {}, semantics = 1) =>
    planDigest(resolvePlan(message(changes, transform)), semantics);
  const changed = [
    digest({ dataset: { manifest: '0'.repeat(64) } }),
    digest({ seed: 1n }),
    digest({ batchSize: 10 }),
    digest({ order: SampleOrder.SEQUENTIAL }),
    digest({ worldSize: 2 }),
    digest({ worldSize: 2, rank: 1 }),
    digest({ subsetStride: 2 }),
    digest({ subsetStride: 2, subsetInvert: true }),
    digest({ mix: MixSpec.create() }),
    digest({ mix: { ...MixSpec.create(), smoothing: 0 } }),
    digest({ mix: { ...MixSpec.create(), cutmixMinmax: [0.1, 0.9] } }),
    digest({}, { inputSize: 65 }),
    digest({}, { training: false }),
    digest({}, { aa: '' }),
    digest({}, { colorJitter: 0 }),
    digest({}, { trainInterpolation: TrainInterpolation.RANDOM }),
    digest({}, { cropPct: 1 }),
    digest({}, { reprob: 0 }),
    digest({}, { remode: EraseMode.RAND }),
    digest({}, { recount: 2 }),
    digest({}, { imagenetDefaultMeanAndStd: false }),
    digest({}, { cropPadding: 0 }),
    digest({}, { hflip: 0 }),
    digest({}, {}, 2),
  ];
  assert.equal(new Set([digest(), ...changed]).size, changed.length + 1);
  // Defaults given are defaults left out.
  assert.equal(
    digest({ worldSize: 1, order: SampleOrder.UNSPECIFIED }, { aa: 'rand-m9-mstd0.5-inc1', reprob: 0.25, hflip: 0.5 }),
    digest(),
  );
  assert.equal(digest({ mix: { ...MixSpec.create(), mixup: 0.8, mixupMode: MixupMode.BATCH } }), digest({ mix: MixSpec.create() }));
  assert.match(planText(resolvePlan(message()), 1), /^\{"batchSize":8,"format":"dropstream\.plan\.v1"/);
});

test('the digest of a known plan does not change between versions', () => {
  const known = resolvePlan(message({ dataset: { manifest: 'ab'.repeat(32) }, seed: 7n, mix: MixSpec.create() }));
  assert.equal(planDigest(known, 1), KNOWN_DIGEST);
});

test('plans that do not fit their data set are refused by field', () => {
  const fields = (changes: Partial<PlanMessage>, transform: Partial<TransformSpec> = {}, of = manifest): string[] => {
    try {
      checkPlanFits(resolvePlan(message(changes, transform)), of);
      return [];
    } catch (error) {
      assert.ok(error instanceof InvalidArgument);
      return error.violations.map(({ field }) => field);
    }
  };
  assert.deepEqual(fields({}), []);
  assert.deepEqual(fields({ batchSize: 101 }), ['plan.batch_size']);
  assert.deepEqual(fields({ batchSize: 40, worldSize: 3 }), ['plan.batch_size']);
  assert.deepEqual(fields({ batchSize: 101, order: SampleOrder.SEQUENTIAL }), []);
  assert.deepEqual(fields({ batchSize: 8, subsetStride: 20 }), ['plan.batch_size']);
  assert.deepEqual(fields({ batchSize: 1, subsetStride: 200, subsetOffset: 150 }), ['plan.subset_offset']);
  assert.deepEqual(fields({}, { inputSize: 32 }), []); // larger images are cropped
  assert.deepEqual(fields({}, { inputSize: 32, training: false }), ['plan.transform.input_size']);
  assert.deepEqual(
    fields(
      {},
      { inputSize: 32 },
      manifestOf(10, () => 20),
    ),
    ['plan.transform.input_size'],
  );
});

const KNOWN_DIGEST = '0ca1345bbc5813ab38c8a9159a970ac340092fffbd736992d6de407c9866f1b0';
