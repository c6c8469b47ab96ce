/** Images that the device finishes are those that the addon finishes. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type FinishPlan, type FinishSample, finishBatch } from '#native/pixels.js';
import { noWebgpu, testAdapter } from '../../../test/support/webgpu-kernel.js';
import { compile } from '../compile.js';
import { HostImages } from '../images.js';
import { DeviceMemory, USAGE } from './arena.js';
import { Pipelines } from './bindings.js';
import { openDevice } from './device.js';
import { finishWords } from './finish-words.js';
import { StagedImagesOnDevice } from './staged-images.js';

const IMAGENET = { mean: [0.485, 0.456, 0.406] as [number, number, number], std: [0.229, 0.224, 0.225] as [number, number, number] };

/** Noise is computed in fp32; everything else has the bits of the addon where products are not fused with sums, as on every software adapter. */
const NOISE_TOLERANCE = 1.5e-6;

const opened = noWebgpu ? undefined : await openDevice(testAdapter);
after(() => opened?.close());

/** The images of a batch, finished on the device chunk by chunk. `perPart` and `pageBytes`: how its bytes are sent and kept. */
async function onDevice(pixels: Uint8Array, size: number, plan: FinishPlan, chunk = 3, perPart = 1 << 20, pageBytes = 1 << 20) {
  const { device, adapter } = opened!;
  const samples = plan.samples.length;
  const imageFloats = 3 * size * size;
  const memory = new DeviceMemory(device, adapter.name);
  const errors: string[] = [];
  device.onuncapturederror = ({ error }) => void errors.push(error.message);
  const images = await memory.allocate('images', 4 * imageFloats * chunk);
  const all = await memory.allocate('all images', 4 * imageFloats * samples, USAGE.MAP_READ | USAGE.COPY_DST);
  const staged = new StagedImagesOnDevice(device, memory, new Pipelines(device), { imageFloats, chunkSamples: chunk }, images, pageBytes);
  const padded = new Uint8Array(4 * Math.ceil(pixels.length / 4));
  padded.set(pixels);
  for (let at = 0; at < padded.length; at += perPart) {
    const data = padded.slice(at, at + perPart).buffer;
    await staged.write({ batch: 7, samples, at, data, ...(at === 0 && { words: finishWords(plan, size) }) });
  }
  for (let first = 0; first < samples; first += chunk) {
    const count = Math.min(chunk, samples - first);
    const encoder = device.createCommandEncoder();
    staged.finish(encoder, 7, first, count);
    encoder.copyBufferToBuffer(images, 0, all, 4 * imageFloats * first, 4 * imageFloats * count);
    device.queue.submit([encoder.finish()]);
  }
  await all.mapAsync(1);
  const values = new Float32Array(all.getMappedRange().slice(0, 4 * imageFloats * samples));
  assert.deepEqual(errors, []);
  return values;
}

async function onHost(pixels: Uint8Array, size: number, plan: FinishPlan): Promise<Float32Array> {
  const out = new Float32Array(pixels.length);
  await finishBatch(pixels, plan.samples.length, size, plan, out);
  return out;
}

const software = opened?.adapter.software === true;

function assertAlike(given: Float32Array, wanted: Float32Array, plan: FinishPlan): void {
  const noisy = plan.samples.some(({ erase }) => erase.some(({ mode }) => mode !== 'const'));
  if (software && !noisy) assert.deepEqual(given, wanted);
  for (const [i, value] of wanted.entries()) {
    const error = Math.abs(given[i]! - value);
    assert.ok(error <= NOISE_TOLERANCE * Math.max(1, Math.abs(value)), `element ${i}: ${given[i]} instead of ${value}`);
  }
}

const sides = fc.integer({ min: 1, max: 13 });
const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });

function boxes(size: number) {
  return fc.record({ top: fc.nat(size), left: fc.nat(size), bottom: fc.nat(size), right: fc.nat(size) }).map((side) => {
    const [top, bottom] = [Math.min(side.top, side.bottom), Math.max(side.top, side.bottom)];
    const [left, right] = [Math.min(side.left, side.right), Math.max(side.left, side.right)];
    return { top, left, height: bottom - top, width: right - left };
  });
}

function samplesOf(size: number, rows: number, modes: readonly ('const' | 'rand' | 'pixel')[]): fc.Arbitrary<FinishSample> {
  const erased = fc
    .record({ box: boxes(size), mode: fc.constantFrom(...modes), key: fc.tuple(word, word), number: fc.nat(3) })
    .map(({ box, mode, key, number }) => ({ ...box, mode, key, box: number }));
  const lambda = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
  const mix = fc.record({ lambda, partner: fc.nat(rows - 1), box: fc.option(boxes(size)) });
  return fc
    .record({ slot: fc.option(word), erase: fc.array(erased, { maxLength: 3 }), mix })
    .map(({ slot, ...sample }) => (slot === null ? sample : { ...sample, slot }));
}

const batches = (modes: readonly ('const' | 'rand' | 'pixel')[]) =>
  fc.tuple(sides, fc.integer({ min: 1, max: 8 })).chain(([size, rows]) =>
    fc.record({
      size: fc.constant(size),
      pixels: fc.uint8Array({ minLength: 3 * size * size * rows, maxLength: 3 * size * size * rows }),
      plan: fc
        .array(samplesOf(size, rows, modes), { minLength: rows, maxLength: rows })
        .map((samples): FinishPlan => ({ ...IMAGENET, samples })),
    }),
  );

test('normalised, erased with zeros and mixed images have the bits of the addon', { skip: noWebgpu }, async () => {
  await fc.assert(
    fc.asyncProperty(batches(['const']), async ({ size, pixels, plan }) => {
      assertAlike(await onDevice(pixels, size, plan), await onHost(pixels, size, plan), plan);
    }),
    { numRuns: 60 },
  );
});

test('images erased with noise are those of the addon, except that noise is computed in fp32', { skip: noWebgpu }, async () => {
  await fc.assert(
    fc.asyncProperty(batches(['const', 'rand', 'pixel']), async ({ size, pixels, plan }) => {
      assertAlike(await onDevice(pixels, size, plan), await onHost(pixels, size, plan), plan);
    }),
    { numRuns: 60 },
  );
  // Enough noise to meet both quotients and the far tails.
  const size = 128;
  const erase = [{ top: 0, left: 0, height: size, width: size, mode: 'pixel' as const, key: [5, 6] as [number, number], box: 2 }];
  const plan: FinishPlan = { ...IMAGENET, samples: [{ slot: 3, erase, mix: { lambda: 1, partner: 0, box: null } }] };
  const pixels = new Uint8Array(3 * size * size);
  const [given, wanted] = [await onDevice(pixels, size, plan), await onHost(pixels, size, plan)];
  assert.ok(wanted.some((value) => Math.abs(value) > 3.5));
  assertAlike(given, wanted, plan);
});

test('a batch that comes in parts and lies on several pages is the same batch', { skip: noWebgpu }, async () => {
  await fc.assert(
    fc.asyncProperty(batches(['pixel']), fc.integer({ min: 1, max: 40 }), async ({ size, pixels, plan }, parts) => {
      const whole = await onDevice(pixels, size, plan, 3);
      const pieces = await onDevice(pixels, size, plan, 5, 4 * parts, 1);
      assert.deepEqual(pieces, whole);
    }),
    { numRuns: 30 },
  );
});

test('a plan that does not fit its images is rejected as the addon rejects it', () => {
  const sample: FinishSample = { erase: [], mix: { lambda: 1, partner: 0, box: null } };
  const refuse = (part: Partial<FinishSample>, reason: RegExp) =>
    assert.throws(() => finishWords({ ...IMAGENET, samples: [{ ...sample, ...part }] }, 4), { name: 'TypeError', message: reason });
  const noise = { mode: 'pixel' as const, key: [0, 0] as [number, number], box: 0 };
  refuse({ mix: { lambda: 0.5, partner: 1, box: null } }, /partner 1 of sample 0: the batch has 1/);
  refuse({ mix: { lambda: 1.5, partner: 0, box: null } }, /lambda/);
  refuse({ mix: { lambda: Number.NaN, partner: 0, box: null } }, /lambda/);
  refuse({ mix: { lambda: 1, partner: 0, box: { top: 2, left: 0, height: 3, width: 1 } } }, /mix box of sample 0/);
  refuse({ erase: [{ ...noise, top: 0, left: 3, height: 1, width: 2 }] }, /erase box of sample 0/);
  refuse({ erase: [{ ...noise, top: -1, left: 0, height: 1, width: 1 }] }, /erase box/);
  refuse({ erase: [{ ...noise, top: 0, left: 0, height: 1, width: 1, key: [0, 2 ** 32] }] }, /erase key/);
  refuse({ slot: -1 }, /slot -1 of sample 0/);
});

const [IMAGE, CLASSES, SAMPLES] = [14, 5, 6];
const pixels = Uint8Array.from({ length: SAMPLES * 3 * IMAGE * IMAGE }, (_, i) => Math.imul(i + 1, 2654435761) >>> 24);
const plan: FinishPlan = {
  ...IMAGENET,
  samples: Array.from({ length: SAMPLES }, (_, i) => ({
    erase: i % 2 === 0 ? [] : [{ top: 1, left: 2, height: 5, width: 4, mode: 'const' as const, key: [i, 1] as [number, number], box: 0 }],
    mix: { lambda: 0.7, partner: SAMPLES - 1 - i, box: i < 2 ? { top: 0, left: 3, height: 6, width: 7 } : null },
  })),
};
const targets = Float32Array.from({ length: SAMPLES * CLASSES }, (_, i) => (i % CLASSES === 1 ? 1 : 0));

test('a step and an evaluation with images that the program finishes are those with finished images', { skip: noWebgpu }, async () => {
  process.env.DROPSTREAM_GPU ??= testAdapter;
  const program = await compile('vit_nano_p7', { imageSize: IMAGE, classes: CLASSES, batch: 4 }, { executor: 'webgpu' });
  try {
    await program.initialize(3n);
    const bytes = pixels.slice();
    const onProgram = await program.prepareImages({ pixels: bytes, size: IMAGE, plan });
    bytes.fill(0); // They are on the device by now.
    const onHost = await new HostImages().prepareImages({ pixels, size: IMAGE, plan });
    const results = [];
    for (const { images } of [onProgram, onHost]) {
      const batch = { images, targets, samples: SAMPLES, firstSample: 0 };
      const step = program.step({ microBatches: [batch], random: { seed: 1n, step: 0, dropout: 0.1 }, lossScale: 1 / SAMPLES });
      // The next images go up while the step runs.
      const next = await program.prepareImages({ pixels, size: IMAGE, plan });
      const { losses, gradNorm } = await step;
      const evaluated = await program.evaluate({ images: next.images, targets, samples: SAMPLES });
      next.release();
      results.push({ losses: [...losses], gradNorm, evaluated: [...evaluated.losses] });
    }
    if (software) assert.deepEqual(results[0], results[1]);
    for (const [i, loss] of results[1]!.losses.entries()) assert.ok(Math.abs(loss - results[0]!.losses[i]!) < 1e-5);

    const memory = program.peakBytes;
    for (let i = 0; i < 5; i++) (await program.prepareImages({ pixels, size: IMAGE, plan })).release();
    assert.equal(program.peakBytes, memory, 'released memory is used again');
    const batch = { images: onProgram.images, targets, samples: SAMPLES };
    onProgram.release();
    await assert.rejects(program.evaluate(batch), /released before/);
    await assert.rejects(
      program.evaluate({ ...batch, samples: 5, targets: targets.subarray(5) }),
      /6 were prepared for a batch of 5 samples/,
    );
    await assert.rejects(program.prepareImages({ pixels: pixels.subarray(1), size: IMAGE, plan }), RangeError);
    const wrong = { ...plan, samples: plan.samples.map((sample) => ({ ...sample, mix: { ...sample.mix, partner: SAMPLES } })) };
    await assert.rejects(program.prepareImages({ pixels, size: IMAGE, plan: wrong }), { name: 'TypeError' });
  } finally {
    program.dispose();
  }
  await assert.rejects(program.prepareImages({ pixels, size: IMAGE, plan }), /disposed/);
});
