/** Tuning on the adapter of tests: what is stored is what programs have. How fast tiles are there says nothing, so no test asks for it. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { withoutExecutor } from '../../../../test/support/executors.js';
import { type CompileOptions, compile, planProgram } from '../../compile.js';
import { adapterHere } from '../adapters.js';
import { LARGE, type Tiles, tileNames } from '../kernels/tile-shapes.js';
import type { ProductsToTime } from './product-times.js';
import { tuningKey, tuningState } from './tiles-here.js';
import { choose, forgetTuning, tune } from './tune.js';
import { readTuned, storeTuned } from './tuned-file.js';

const skip = withoutExecutor('webgpu');
const folder = mkdtempSync(join(tmpdir(), 'tune-'));
const before = process.env.DROPSTREAM_GPU_TUNING;
let files = 0;

/** What follows uses this file. */
function useFile(): string {
  process.env.DROPSTREAM_GPU_TUNING = join(folder, `tuning-${files++}.json`);
  return process.env.DROPSTREAM_GPU_TUNING;
}
afterEach(() => {
  process.env.DROPSTREAM_GPU_TUNING = before;
});
after(() => rmSync(folder, { recursive: true, force: true }));

const tiny = { models: [{ name: 'vit_nano_p7', imageSize: 28 }], batch: 16 };
const soon = () => AbortSignal.timeout(300_000);
const shapes = { imageSize: 28, classes: 5, batch: 16 };
const webgpu = { executor: 'webgpu' } as const;
const fingerprintHere = async (options: CompileOptions = {}) =>
  (await planProgram('vit_nano_p7', shapes, { ...webgpu, ...options })).fingerprint;
const buildHere = async (options: CompileOptions = {}) => (await fingerprintHere(options)).build;

test('every product of both precisions is timed with the tiles that it fills, and the choice is stored', {
  skip,
  timeout: 300_000,
}, async () => {
  const file = useFile();
  const told: string[] = [];
  const { products, adapter } = await tune({ ...tiny, signal: soon(), onTile: (product) => told.push(product) });
  const kinds = products.map(({ product, precision }) => `${product}.${precision}`);
  assert.deepEqual(
    kinds,
    ['fp32', 'bf16'].flatMap((type) => ['linear', 'linear_input_grad', 'linear_weight_grad'].map((product) => `${product}.${type}`)),
  );
  for (const { product, precision, tile, gflops, defaultGflops, tiles } of products) {
    assert.ok(gflops >= defaultGflops && defaultGflops > 0);
    assert.deepEqual([...tiles.map((one) => one.tile)].sort(), [...tileNames].sort());
    for (const one of tiles) assert.ok(one.gflops !== undefined || one.reason === 'no product of the models fills it', JSON.stringify(one));
    assert.ok(tiles.filter((one) => one.gflops !== undefined).length >= 3, `${product} ${precision}`);
    assert.ok(tiles.some((one) => one.tile === tile && one.gflops !== undefined));
    assert.ok(told.includes(`${product} ${precision}`));
  }
  const [stored] = readTuned(file);
  assert.deepEqual(stored?.tiles, Object.fromEntries(products.map(({ tile }, at) => [kinds[at], tile])));
  assert.equal(stored?.adapter, adapter.name);
  assert.match(tuningState(await adapterHere()), /^was tuned on \d{4}-\d\d-\d\d$/);

  // Another precision alone leaves this one.
  const again = await tune({ ...tiny, precisions: ['bf16'], signal: soon() });
  assert.ok(again.products.every(({ precision }) => precision === 'bf16'));
  assert.deepEqual(Object.keys(readTuned(file)[0]!.tiles).sort(), [...kinds].sort());

  assert.equal(await forgetTuning(), file);
  assert.deepEqual(readTuned(file), []);
  assert.match(tuningState(await adapterHere()), /^was not tuned/);
});

test('who ends a tuning has the choice of before', { skip, timeout: 300_000 }, async () => {
  const file = useFile();
  await storeTuned(file, tuningKey(await adapterHere()), { 'linear.fp32': '32x32x16@64' });
  const stored = readFileSync(file, 'utf8');
  const stop = new AbortController();
  const tuning = tune({ ...tiny, signal: stop.signal, onTile: () => stop.abort(new Error('stopped on purpose')) });
  await assert.rejects(tuning, /stopped on purpose/);
  await assert.rejects(tune({ ...tiny, signal: AbortSignal.abort(new Error('too late')) }), /too late/);
  assert.equal(readFileSync(file, 'utf8'), stored);
});

test('programs have the stored tiles and name them; one that goes on from a checkpoint has those of the checkpoint', {
  skip,
  timeout: 300_000,
}, async () => {
  const file = useFile();
  const key = tuningKey(await adapterHere());
  const plain = await compile('vit_nano_p7', shapes, webgpu);
  const tiles: Tiles = {
    'linear.fp32': '128x64x16@128',
    'linear_input_grad.fp32': '32x32x16@64',
    'linear_weight_grad.fp32': '64x64x16@256',
  };
  await storeTuned(file, key, tiles);
  const tuned = await compile('vit_nano_p7', shapes, webgpu);
  assert.match(
    tuned.fingerprint.build,
    /^webgpu [\d.]+ linear\.fp32=128x64x16@128 linear_input_grad\.fp32=32x32x16@64 linear_weight_grad\.fp32=64x64x16@256 [\da-f]{16}$/,
  );
  assert.deepEqual(await fingerprintHere(), tuned.fingerprint);

  const images = Float32Array.from({ length: 16 * 3 * 28 * 28 }, (_, i) => Math.sin(i));
  const targets = Float32Array.from({ length: 16 * 5 }, (_, i) => (i % 5 === Math.floor(i / 5) % 5 ? 1 : 0));
  const results = await Promise.all(
    [plain, tuned].map(async (program) => {
      await program.initialize(1n);
      const microBatches = [{ images, targets, samples: 16, firstSample: 0 }];
      const result = await program.step({ microBatches, random: { seed: 1n, step: 0 }, lossScale: 1 / 16 });
      program.dispose();
      return result;
    }),
  );
  assert.ok(Math.abs(results[0]!.loss - results[1]!.loss) < 1e-5);
  assert.ok(Math.abs(results[0]!.gradNorm - results[1]!.gradNorm) < 1e-4 * results[0]!.gradNorm);

  const lineOf = ({ executor, precision, kernelPath, build }: typeof plain.fingerprint) =>
    [executor, precision, kernelPath, build].join('/');
  assert.equal(await buildHere({ like: lineOf(plain.fingerprint) }), plain.fingerprint.build);
  await storeTuned(file, key, undefined);
  assert.equal(await buildHere(), plain.fingerprint.build);
  assert.equal(await buildHere({ like: lineOf(tuned.fingerprint) }), tuned.fingerprint.build);
  // Those of another device are no concern of this one.
  assert.equal(await buildHere({ like: lineOf({ ...tuned.fingerprint, kernelPath: 'Abacus 1' }) }), plain.fingerprint.build);
});

test('choices for another driver, Dawn or other kernels are not used', { skip }, async () => {
  const file = useFile();
  const key = tuningKey(await adapterHere());
  const plain = await buildHere();
  for (const other of [{ driver: 'x' }, { dawn: 'x' }, { kernels: 'x' }, { adapter: 'x' }])
    await storeTuned(file, { ...key, ...other }, { 'linear.fp32': '32x32x16@64' });
  assert.equal(await buildHere(), plain);
  assert.match(tuningState(await adapterHere()), /was tuned with another driver or version/);
});

test('a damaged file is ignored with one warning that names it', { skip }, async () => {
  process.env.DROPSTREAM_GPU_TUNING = 'none';
  const plain = await buildHere();
  const file = useFile();
  const warnings: string[] = [];
  const note = ({ message }: Error) => void warnings.push(message);
  process.on('warning', note);
  writeFileSync(file, 'x');
  assert.equal(await buildHere(), plain);
  assert.equal(await buildHere(), plain);
  await new Promise(setImmediate);
  process.off('warning', note);
  assert.equal(warnings.length, 1);
  assert.ok(warnings[0]!.includes(file) && warnings[0]!.includes('it is not JSON'), warnings[0]);
  assert.match(tuningState(await adapterHere()), /has default tiles, because .* is no file of tuned tiles/);
  await assert.rejects(tune({ ...tiny, signal: soon() }), /is no file of tuned tiles/);
});

test('a tile must be clearly faster than the default to be chosen', () => {
  const products: ProductsToTime = { product: 'linear', type: 'fp32', shapes: [{ rows: 10, in: 10, out: 10, samples: 10, calls: 5 }] };
  const chosen = (seconds: Partial<Record<(typeof tileNames)[number], number>>) =>
    choose(
      products,
      tileNames.map((tile) => (seconds[tile] === undefined ? { tile, reason: 'x' } : { tile, seconds: seconds[tile] })),
    );
  assert.equal(chosen({ [LARGE]: 1, '32x32x16@64': 0.98 }).tile, LARGE);
  assert.equal(chosen({ [LARGE]: 1, '32x32x16@64': 0.9, '128x64x16@128': 0.8 }).tile, '128x64x16@128');
  assert.equal(chosen({ [LARGE]: 1 }).tile, LARGE);
  const { gflops, defaultGflops } = chosen({ [LARGE]: 2, '32x32x16@64': 1 });
  assert.deepEqual([gflops, defaultGflops], [1e-4, 5e-5]);
  assert.throws(() => chosen({ '32x32x16@64': 1 }), /linear fp32 does not work: x/);
});
