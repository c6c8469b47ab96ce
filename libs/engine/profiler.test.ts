import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trace } from '#graph/trace.js';
import { vit } from '#nn/models/vit.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { compile } from './compile.js';
import { lower } from './native/lower.js';

const [IMAGE, CLASSES, BATCH, SAMPLES] = [8, 3, 4, 6];
const model = vit({ dim: 16, depth: 2, heads: 2, patch: 4, classes: CLASSES });
const batch = {
  images: Float32Array.from({ length: SAMPLES * 3 * IMAGE * IMAGE }, (_, i) => Math.sin(i)),
  targets: Float32Array.from({ length: SAMPLES * CLASSES }, (_, i) => (i % CLASSES === 0 ? 1 : 0)),
  samples: SAMPLES,
  firstSample: 0,
};
const request = { microBatches: [batch], random: { seed: 1n, step: 0, blockRates: [0, 0.5] }, lossScale: 1 / SAMPLES };
const optimizer = {
  ...{ kind: 'adamw' as const, beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum: 0, step: 1, clip: 0 },
  ...{ learningRate: 1e-3, weightDecay: 0.05, emaDecay: -1 },
};
const now = () => Number(process.hrtime.bigint()) / 1e9;

test('a recorded step names every kernel call of every chunk in its order, with its samples and its time; off, nothing is recorded', {
  skip: withoutExecutor('native'),
}, async () => {
  const program = await compile(model, { imageSize: IMAGE, classes: CLASSES, batch: BATCH });
  await program.initialize(1n);
  const { profiler } = program;
  assert.ok(profiler);
  const before = now();
  const plain = await program.step(request);
  assert.deepEqual(profiler.take(), { calls: [], jobs: [], lost: 0 });

  await program.initialize(1n); // the same weights, to be packed once more
  profiler.start(1000);
  const recorded = await program.step({ ...request, optimizer });
  assert.deepEqual(recorded.losses, plain.losses);
  const { calls, jobs, lost } = profiler.take();
  assert.equal(lost, 0);
  const spec = lower(trace(model, { channels: 3, imageSize: IMAGE, classes: CLASSES }), program.chunkSamples);
  const chunks = Math.ceil(SAMPLES / program.chunkSamples);
  const expected = Array.from({ length: chunks }, () => [...spec.forward, ...spec.backward].map(({ kernel }) => kernel));
  const named = (parts: readonly string[]) => calls.filter(({ part }) => parts.includes(part)).map(({ kernel }) => kernel);
  assert.deepEqual(named(['forward', 'backward']), expected.flat());
  assert.deepEqual(named(['update']), ['zero_gradients', 'optimizer']);
  const products = spec.forward.filter(({ kernel }) => kernel === 'linear').length;
  assert.ok(named(['pack']).length >= products, 'weights are packed once a step');
  const kept = calls.filter(({ kernel }) => kernel === 'gather_kept').map(({ samples }) => samples);
  assert.ok(kept.some((samples) => samples < program.chunkSamples));
  for (const { kernel, begin, end, bytes } of calls) {
    assert.ok(before < begin && begin <= end && end < now(), kernel);
    assert.ok(bytes > 0 || ['zero_gradients', 'optimizer'].includes(kernel) || kept.includes(0), `${kernel}: ${bytes} bytes`);
  }
  const ends = calls.map(({ end }) => end);
  assert.deepEqual(
    ends,
    ends.toSorted((a, b) => a - b),
  );
  for (const { begin, end } of jobs) assert.ok(calls[0]!.begin <= begin && begin <= end && end <= ends.at(-1)!);
  assert.deepEqual(profiler.take(), { calls: [], jobs: [], lost: 0 });

  profiler.start(5);
  await program.step(request);
  const short = profiler.take();
  assert.deepEqual([short.calls.length, short.lost], [5, calls.length - 5]); // the norm instead of the optimizer
  const running = program.step(request);
  assert.throws(() => profiler.take(), /a call runs/);
  await running;
  profiler.stop();
  await program.evaluate(batch);
  assert.deepEqual(profiler.take(), { calls: [], jobs: [], lost: 0 });
  assert.throws(() => profiler.start(2 ** 24 + 1), /calls/);
  program.dispose();
});

test('a recorded step on WebGPU names the kernel calls of every chunk in their order, timed by the device, and changes no bits', {
  skip: withoutExecutor('webgpu'),
}, async () => {
  const program = await compile(model, { imageSize: IMAGE, classes: CLASSES, batch: BATCH }, { executor: 'webgpu' });
  try {
    await program.initialize(1n);
    const { profiler } = program;
    assert.ok(profiler, 'the software device has timestamps');
    const before = now();
    const plain = await program.step(request);
    assert.deepEqual(profiler.take(), { calls: [], jobs: [], lost: 0 });

    profiler.start(1000);
    const pixels = Uint8Array.from({ length: batch.images.length }, (_, i) => i);
    const samples = Array.from({ length: SAMPLES }, () => ({ erase: [], mix: { lambda: 1, partner: 0, box: null } }));
    const prepared = await program.prepareImages({ pixels, size: IMAGE, plan: { mean: [0, 0, 0], std: [1, 1, 1], samples } });
    const recorded = await program.step({ ...request, optimizer });
    assert.deepEqual(recorded.losses, plain.losses);
    const { calls, jobs, lost } = profiler.take();
    assert.deepEqual([jobs, lost], [[], 0]);
    const spec = lower(trace(model, { channels: 3, imageSize: IMAGE, classes: CLASSES }), program.chunkSamples);
    const chunks = Math.ceil(SAMPLES / program.chunkSamples);
    const expected = Array.from({ length: chunks }, () => [...spec.forward, ...spec.backward].map(({ kernel }) => kernel)).flat();
    const [passes, update] = [calls.filter(({ part }) => part !== 'update'), calls.filter(({ part }) => part === 'update')];
    assert.ok(passes.length <= expected.length && passes.length > expected.length / 2, 'calls without kept samples are left out');
    let at = 0;
    for (const { kernel } of passes) {
      while (at < expected.length && expected[at] !== kernel) at++;
      assert.ok(at++ < expected.length, `${kernel} is out of order`);
    }
    assert.deepEqual(
      update.map(({ kernel }) => kernel),
      ['gradient_norm', 'optimizer'],
    );
    for (const { kernel, samples, bytes, begin, end } of calls) {
      assert.ok(before < begin && begin <= end && end < now(), `${kernel} from ${begin - before} to ${end - before}`);
      assert.ok(kernel === 'optimizer' || bytes > 0, `${kernel}: ${bytes} bytes`);
      assert.ok(samples <= program.chunkSamples);
    }

    const images = { ...request, microBatches: [{ ...batch, images: prepared.images }] };
    await program.step(images);
    const finished = profiler.take().calls.filter(({ kernel }) => kernel === 'finish');
    assert.equal(finished.length, chunks);
    prepared.release();

    profiler.start(5);
    await program.step(request);
    assert.equal(profiler.take().calls.length, 5);
    const running = program.step(request);
    assert.throws(() => profiler.take(), /a call runs/);
    await running;
    assert.ok(profiler.take().lost > 0);
    profiler.stop();
    await program.evaluate(batch);
    assert.deepEqual(profiler.take(), { calls: [], jobs: [], lost: 0 });
    assert.throws(() => profiler.start(2 ** 24 + 1), /calls/);
  } finally {
    program.dispose();
  }
});
