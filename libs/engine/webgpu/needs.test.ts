/** What is refused before a program exists, and how its chunk becomes smaller where a device has little memory. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { atOnce } from '#bounds/pieces.js';
import { trace } from '#graph/trace.js';
import { modelConfig } from '#nn/models/registry.js';
import { noWebgpu } from '../../../test/support/webgpu-kernel.js';
import { type CompileOptions, compile } from '../compile.js';
import { ExecutorUnavailable, type PrepareOptions } from '../executor.js';
import { lower } from '../native/lower.js';
import { ALIGNMENT_FLOATS, planCalls } from './calls.js';
import { type AdapterDescription, DAWN_VERSION, problemOfVersion } from './device.js';
import { MOST_BINDINGS } from './executor.js';
import { arenaBytes, lackOf, lackOfPrecision, type Needs, needsOf } from './needs.js';
import { settings, silenceMs } from './settings.js';

const MB = 2 ** 20;

function needs(model: string, imageSize: number, samples: number, held: Partial<PrepareOptions['held']> = {}): Needs {
  const graph = trace(modelConfig(model, { imageSize, classes: 5 }), { channels: 3, imageSize, classes: 5 });
  const spec = lower(graph, samples, { alignmentFloats: ALIGNMENT_FLOATS });
  const calls = [...atOnce(planCalls(spec, spec.forward)), ...atOnce(planCalls(spec, spec.backward))];
  return needsOf(spec, calls, { samples, batches: 0, leaves: 1, ...held }, adapter({}).limits);
}

const adapter = (limits: Partial<AdapterDescription['limits']>): AdapterDescription => ({
  ...{ name: 'Abacus 1', vendor: '', driver: '', dawn: DAWN_VERSION, software: false, features: [] },
  limits: {
    bufferBytes: 4096 * MB,
    bindingBytes: 2048 * MB,
    storageBuffers: 10,
    workgroupBytes: 32_768,
    workgroupThreads: 1024,
    ...limits,
  },
});

test('no model binds more buffers than the executor says, and Swin binds that many', () => {
  const counts = ['vit_nano_p7', 'mixer_nano_p7', 'swin_nano_p2', 'convnext_nano_p2'].map((model) => needs(model, 28, 2).bindings.count);
  assert.equal(Math.max(...counts), MOST_BINDINGS);
  assert.equal(needs('swin_nano_p2', 28, 2).bindings.count, MOST_BINDINGS);
});

test('a limit that is too small for the model is one sentence with what to do', () => {
  const swin = needs('swin_nano_p2', 28, 2);
  assert.equal(lackOf(swin, adapter({}), undefined), undefined);
  const bindings = lackOf(swin, adapter({ storageBuffers: 8 }), undefined);
  assert.match(bindings!.reason, /binds 10 buffers, but a shader of Abacus 1 can bind 8; choose another GPU/);
  assert.equal(bindings!.ofMemory, false);
  for (const [limits, memory, reason] of [
    [{ bufferBytes: 1000 }, undefined, /take \d+ MB, but a buffer of Abacus 1 allows 1 MB; a smaller model/],
    [{ bindingBytes: 1000 }, undefined, /takes \d+ MB, but a shader of Abacus 1 allows 1 MB; a smaller model/],
    [{}, 1000, /the program takes \d+ MB, but DROPSTREAM_GPU_MEMORY allows 1 MB; a smaller model/],
  ] as const) {
    const lack = lackOf(swin, adapter(limits), memory);
    assert.match(lack!.reason, reason);
    assert.equal(lack!.ofMemory, true);
  }
});

test('f16 is refused where shaders lack it, with what to do', () => {
  const lack = lackOfPrecision('f16', adapter({}));
  assert.equal(
    lack,
    'Abacus 1 does not have the feature shader-f16, which precision f16 needs; choose precision bf16 or fp32, or another GPU (DROPSTREAM_GPU)',
  );
  for (const precision of ['fp32', 'bf16'] as const) assert.equal(lackOfPrecision(precision, adapter({})), undefined);
  assert.equal(lackOfPrecision('f16', { ...adapter({}), features: ['shader-f16'] }), undefined);
});

test('images that wait for their step are counted, in pages that a shader can bind, and so are gradients of other leaves', () => {
  const bytes = (held: Partial<PrepareOptions['held']>) => needs('vit_nano_p7', 28, 2, held).bytes;
  const [image, samples] = [3 * 28 * 28, 64];
  const perBatch = bytes({ samples, batches: 3 }) - bytes({ samples, batches: 2 });
  assert.ok(perBatch > samples * image && perBatch < 1.2 * samples * image, `${perBatch}`);
  const { buffers } = needs('vit_nano_p7', 28, 2, { samples: 70_000, batches: 2 });
  const most = adapter({}).limits.bindingBytes;
  assert.ok(buffers.every((buffer) => buffer.bytes < most));
  assert.equal(buffers.filter(({ of }) => of === 'images to finish').length, 2);
  const paged = needs('vit_nano_p7', 28, 2, { samples: 1_000_000, batches: 1 }).buffers.filter(({ of }) => of === 'images to finish');
  assert.ok(paged.length > 1 && paged.every((page) => page.bytes < most));
  assert.equal(
    paged.reduce((sum, page) => sum + page.bytes, 0),
    1_000_000 * image,
  );
  const gradient = bytes({ leaves: 2 }) - bytes({ leaves: 1 });
  const graph = trace(modelConfig('vit_nano_p7', { imageSize: 28, classes: 5 }), { channels: 3, imageSize: 28, classes: 5 });
  assert.equal(gradient, arenaBytes(lower(graph, 2, { alignmentFloats: ALIGNMENT_FLOATS }), []).states.gradients);
  // As many as the native engine takes (leaves.test.ts).
  for (const [leaves, waiting] of [
    [3, 1],
    [4, 2],
    [7, 2],
    [16, 4],
  ] as const)
    assert.equal(bytes({ leaves }) - bytes({ leaves: 1 }), waiting * gradient);
});

test('another version of the package than the tested one is refused, with the command that installs it', () => {
  const file = new URL('../../../package.json', import.meta.url);
  const { peerDependencies } = JSON.parse(readFileSync(file, 'utf8')) as { peerDependencies: { webgpu: string } };
  assert.equal(DAWN_VERSION, peerDependencies.webgpu);
  assert.equal(problemOfVersion(DAWN_VERSION), undefined);
  assert.match(problemOfVersion('0.5.9')!, /webgpu is 0\.5\.9, must be 0\.6\.2; run: npm run setup:webgpu/);
  assert.match(problemOfVersion(undefined)!, /the npm package webgpu is not installed; run: npm run setup:webgpu/);
});

test('a bad setting is refused with its name and what is allowed', () => {
  assert.deepEqual(settings({ DROPSTREAM_GPU_MEMORY: '3', DROPSTREAM_GPU: '' }), {
    wanted: undefined,
    memoryBytes: 3 * MB,
    silenceMs: undefined,
  });
  // A software device may take long to compile a shader; only what is set by name shortens it.
  for (const [given, software, wanted] of [
    ['', false, 300_000],
    ['', true, 3_600_000],
    ['15', false, 15_000],
    ['15', true, 15_000],
  ] as const)
    assert.equal(silenceMs(settings({ DROPSTREAM_GPU_TIMEOUT: given }), { software }), wanted);
  for (const [name, value] of [
    ['DROPSTREAM_GPU_MEMORY', '1.5'],
    ['DROPSTREAM_GPU_MEMORY', '-1'],
    ['DROPSTREAM_GPU_TIMEOUT', 'soon'],
  ] as const) {
    assert.throws(
      () => settings({ [name]: value }),
      (error: Error) => error instanceof ExecutorUnavailable && error.message.includes(`${name} is "${value}", must be a whole number of`),
    );
  }
});

/** Runs `work` with at most so many MB for a program. */
async function within<T>(megabytes: number, work: () => Promise<T>): Promise<T> {
  process.env.DROPSTREAM_GPU_MEMORY = String(megabytes);
  process.env.DROPSTREAM_GPU ??= 'llvmpipe';
  try {
    return await work();
  } finally {
    delete process.env.DROPSTREAM_GPU_MEMORY;
  }
}

const shapes = { imageSize: 28, classes: 5, batch: 64 };
const batch = {
  images: Float32Array.from({ length: 64 * 3 * 28 * 28 }, (_, i) => Math.sin(i)),
  targets: Float32Array.from({ length: 64 * 5 }, (_, i) => (i % 5 === Math.floor(i / 5) % 5 ? 1 : 0)),
  samples: 64,
  firstSample: 0,
};
const step = (leaves: number) => {
  const size = 64 / leaves;
  const microBatches = Array.from({ length: leaves }, (_, k) => ({
    images: batch.images.subarray(k * size * 2352, (k + 1) * size * 2352),
    targets: batch.targets.subarray(k * size * 5, (k + 1) * size * 5),
    samples: size,
    firstSample: k * size,
  }));
  return { microBatches, random: { seed: 1n, step: 0 }, lossScale: 1 / 64, leaves };
};

test('a program that does not fit takes smaller chunks, and says so in its fingerprint', { skip: noWebgpu, timeout: 300_000 }, async () => {
  const options = { executor: 'webgpu' } as const;
  const whole = await compile('vit_nano_p7', shapes, options);
  const small = await within(Math.floor(whole.peakBytes / MB / 2), () => compile('vit_nano_p7', shapes, options));
  assert.ok(small.chunkSamples < whole.chunkSamples);
  assert.notDeepEqual(small.fingerprint, whole.fingerprint);
  assert.ok(small.peakBytes < whole.peakBytes / 2);
  for (const program of [whole, small]) await program.initialize(1n);
  const [a, b] = [await whole.step(step(1)), await small.step(step(1))];
  assert.ok(Math.abs(a.loss - b.loss) < 1e-5);
  assert.ok(Math.abs(a.gradNorm - b.gradNorm) < 1e-4 * a.gradNorm);
  for (const program of [whole, small]) program.dispose();
  await assert.rejects(
    within(1, () => compile('vit_nano_p7', shapes, options)),
    (error) => error instanceof ExecutorUnavailable && /DROPSTREAM_GPU_MEMORY allows 1 MB/.test(error.message),
  );
});

test('a program leaves room for the images and gradients that its steps hold', { skip: noWebgpu, timeout: 300_000 }, async () => {
  const compiled = (held?: CompileOptions['held']) => compile('vit_nano_p7', shapes, { executor: 'webgpu', ...(held && { held }) });
  const whole = await compiled();
  const megabytes = Math.ceil(whole.peakBytes / MB) + 1;
  await whole.initialize(1n);
  const { loss, gradNorm } = await whole.step(step(16));
  whole.dispose();
  const program = await within(megabytes, () => compiled({ batches: 12, leaves: 16 }));
  assert.ok(program.chunkSamples < whole.chunkSamples);
  await program.initialize(1n);
  const sample = { erase: [], mix: { lambda: 1, partner: 0, box: null } };
  const mean: [number, number, number] = [0.5, 0.5, 0.5];
  const plan = { mean, std: mean, samples: Array.from({ length: shapes.batch }, () => sample) };
  const pixels = new Uint8Array(batch.images.length);
  const staged = [];
  for (let k = 0; k < 12; k++) staged.push(await program.prepareImages({ pixels, size: shapes.imageSize, plan }));
  const again = await program.step(step(16));
  assert.ok(Math.abs(again.loss - loss) < 1e-5 && Math.abs(again.gradNorm - gradNorm) < 1e-4 * gradNorm);
  for (const { release } of staged) release();
  program.dispose();
});

test('memory that is missing during a step fails the step, and the program goes on', { skip: noWebgpu, timeout: 300_000 }, async () => {
  const whole = await compile('vit_nano_p7', shapes, { executor: 'webgpu' });
  const megabytes = Math.ceil(whole.peakBytes / MB);
  whole.dispose();
  const program = await within(megabytes, () => compile('vit_nano_p7', shapes, { executor: 'webgpu' }));
  await program.initialize(1n);
  // A step in leaves needs more memory for gradients.
  await assert.rejects(program.step(step(16)), /with .* the program takes \d+ MB, but DROPSTREAM_GPU_MEMORY allows/);
  const { loss } = await program.step(step(1));
  assert.ok(Number.isFinite(loss));
  program.dispose();
});
