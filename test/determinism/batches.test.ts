/**
 * A batch has the same bytes from any number of replicas, on any kernel path, whoever dies or comes meanwhile: random plans, real processes.
 * DROPSTREAM_PROPERTY_RUNS plans (default 2) of DROPSTREAM_PROPERTY_BATCHES batches (default 50) in both pixel formats each.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { BatchClient } from '#data/client/batch-client.js';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { engineInfo } from '#native/addon.js';
import {
  EraseMode,
  MixSpec,
  MixupMode,
  PixelFormat,
  type Plan,
  Plan as PlanMessage,
  SampleOrder,
  TrainInterpolation,
  TransformSpec,
} from '#protocol/dropstream/v1/data.js';
import { DirectoryStore } from '#storage/directory-store.js';
import { type ServiceProcess, startService } from '../support/processes.js';
import { writeImageFolder } from '../support/sample-datasets.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-batches-'));
const [root, storePath] = [join(base, 'root'), join(base, 'store')];
const corpus = fileURLToPath(new URL('../fuzz/corpus', import.meta.url));
const JPEGS = ['baseline-420', 'baseline-422', 'baseline-444', 'progressive', 'gray', 'restarts', 'wide', 'exif'];
const [runs, batches] = [Number(process.env.DROPSTREAM_PROPERTY_RUNS ?? 2), Number(process.env.DROPSTREAM_PROPERTY_BATCHES ?? 50)];
let manifest: string;

before(async () => {
  const folder = join(root, 'images');
  writeImageFolder(folder, { perClass: 3, size: 33 });
  mkdirSync(join(folder, 'jpeg'));
  for (const name of JPEGS) copyFileSync(join(corpus, `${name}.jpg`), join(folder, 'jpeg', `${name}.jpg`));
  const store = await DirectoryStore.open(storePath);
  const dataset = await indexDataset(await AllowedRoots.open([base]), folder);
  await saveManifest(store, dataset, 'default');
  await store.close();
  manifest = dataset.sha256;
});
after(() => rmSync(base, { recursive: true, force: true }));

/** On a kernel path; every other one with one thread. */
const replica = (t: TestContext, isa: string, i: number) =>
  startService(t, 'data', ['--store', storePath, '--root', root, '--log-level', 'error'], {
    DROPSTREAM_ISA: isa,
    DROPSTREAM_THREADS: String(1 + (i % 2)),
  });

const addressesOf = (replicas: readonly ServiceProcess[]) => replicas.map(({ address }) => address);

/** SHA-256 of the first batches of a plan, in order; each once. */
async function hashes(
  plan: Plan,
  format: PixelFormat,
  replicas: () => readonly ServiceProcess[],
  onBatch: (n: number) => Promise<void> | void = () => {},
): Promise<string[]> {
  const client = new BatchClient({ addresses: addressesOf(replicas()), discover: async () => addressesOf(replicas()), discoverMs: 20 });
  const found: string[] = [];
  try {
    for await (const batch of client.batches({ plan, format, signal: AbortSignal.timeout(120_000) })) {
      found.push(createHash('sha256').update(batch.payload).digest('hex'));
      batch.release();
      await onBatch(found.length);
      if (found.length === batches) break;
    }
  } finally {
    client.close();
  }
  return found;
}

const anyPlan: fc.Arbitrary<Plan> = fc
  .record({
    seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    batchSize: fc.constantFrom(2, 4, 6),
    // Up to 32 training crops without resizing, which wants images of at least size − 8: the corpus has one 9 pixels high.
    size: fc.constantFrom(17, 33, 48, 64),
    aa: fc.constantFrom('', 'rand-m9-mstd0.5-inc1', 'rand-m4-n3-w0'),
    interpolation: fc.constantFrom(TrainInterpolation.RANDOM, TrainInterpolation.BICUBIC, TrainInterpolation.BILINEAR),
    remode: fc.constantFrom(EraseMode.PIXEL, EraseMode.RAND, EraseMode.CONST),
    mixupMode: fc.constantFrom(MixupMode.BATCH, MixupMode.PAIR, MixupMode.ELEM, undefined),
    order: fc.constantFrom(SampleOrder.SHUFFLED, SampleOrder.BLOCKS),
  })
  .map(({ seed, batchSize, size, aa, interpolation, remode, mixupMode, order }) => ({
    ...PlanMessage.create(),
    dataset: { manifest },
    seed,
    batchSize,
    order,
    transform: { ...TransformSpec.create(), inputSize: size, training: true, aa, trainInterpolation: interpolation, remode, reprob: 0.5 },
    mix: mixupMode ? { ...MixSpec.create(), mixupMode } : undefined,
  }));

test('equal SHA-256 of every batch for 1, 2 and 5 replicas, on every kernel path, with replicas killed and added', {
  timeout: 600_000,
}, async (t) => {
  const isas = [...engineInfo().available];
  const alone = await Promise.all(isas.map((isa, i) => replica(t, isa, i)));
  const isaOf = (i: number) => isas[i % isas.length]!;
  let started = 0;
  const five = await Promise.all(Array.from({ length: 5 }, (_, i) => replica(t, isaOf(i), started++)));
  const distinct = new Set<string>();
  let checked = 0;
  await fc.assert(
    fc.asyncProperty(anyPlan, async (plan) => {
      for (const format of [PixelFormat.UINT8, PixelFormat.FLOAT32]) {
        const expected = await hashes(plan, format, () => alone.slice(0, 1));
        for (const hash of expected) distinct.add(hash);
        assert.equal(expected.length, batches);
        // One replica on each of the other paths, two on two paths.
        for (const one of alone.slice(1)) assert.deepEqual(await hashes(plan, format, () => [one]), expected);
        assert.deepEqual(await hashes(plan, format, () => five.slice(0, 2)), expected);
        // Five, of which one is killed while it makes batches and one comes later, at another address.
        const added = replica(t, isaOf(started), started++);
        const changed = await hashes(
          plan,
          format,
          () => five,
          async (n) => {
            if (n === Math.floor(batches / 4)) await five.shift()!.end('SIGKILL');
            if (n === Math.floor(batches / 2)) five.push(await added);
          },
        );
        assert.deepEqual(changed, expected);
        if (five.length < 5) five.push(await added);
        checked += expected.length;
      }
    }),
    { numRuns: runs, endOnFailure: true },
  );
  t.diagnostic(`${checked} batches (${distinct.size} different) from ${isas.join(', ')}; ${started} replicas started beside one a path`);
  assert.ok(distinct.size > 0.9 * checked);
});
