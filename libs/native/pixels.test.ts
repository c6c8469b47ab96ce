/** Batches: outcomes, order, threads, cancelling, memory, and environments that end while jobs run. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  decode,
  encodePng,
  type FinishSample,
  finishBatch,
  type PixelOp,
  type PixelOpName,
  pixelInfo,
  type RenderPlan,
  type RenderSource,
  renderBatch,
} from '#native/pixels.js';
import { imagenetTar, tarFiles } from '../../test/support/image-fixtures.js';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function rawImage(width: number, height: number, seed = 1): RenderSource {
  const bytes = Uint8Array.from({ length: 3 * width * height }, (_, i) => Math.imul(i + seed, 2654435761) >>> 24);
  return { format: 'rgb', bytes, width, height };
}

const WARP: RenderPlan = { geometry: { kind: 'warp', interpolation: 'bicubic' }, flip: false, ops: [], fill: [1, 2, 3] };
const OPS: PixelOpName[] = ['AutoContrast', 'Equalize', 'Rotate', 'Color', 'Contrast', 'Sharpness', 'ShearX', 'TranslateY', 'Invert'];

/** A batch with everything: raw images, PNG, and bad images in between. */
function mixedJobs(count: number) {
  return Array.from({ length: count }, (_, i) => {
    const image = rawImage(20 + (i % 7), 15 + (i % 5), i);
    const ops: PixelOp[] = [{ op: OPS[i % OPS.length]!, argument: 0.9, interpolation: i % 2 ? 'bicubic' : 'bilinear' }];
    const png = encodePng(image.bytes, image.width, image.height, 'hwc');
    const source: RenderSource =
      i % 11 === 5
        ? { ...image, bytes: image.bytes.subarray(1) }
        : i % 3 === 0
          ? { ...image, format: 'png', bytes: i % 9 === 0 ? png.subarray(0, 50) : png }
          : image;
    return { source, plan: { ...WARP, ops, flip: i % 4 === 0 } };
  });
}

test('a bad image gives an outcome with a reason and a slot of zeros; the others are not affected', async () => {
  const good = rawImage(8, 8);
  const jobs = [
    { source: good, plan: WARP },
    { source: { ...good, bytes: good.bytes.subarray(3) }, plan: WARP },
    { source: { format: 'jpeg', bytes: Uint8Array.of(1, 2, 3), width: 8, height: 8 } as RenderSource, plan: WARP },
    { source: { format: 'png', bytes: new Uint8Array(0), width: 8, height: 8 } as RenderSource, plan: WARP },
    {
      source: good,
      plan: { ...WARP, geometry: { kind: 'resized_crop', top: 4, left: 0, height: 5, width: 8, interpolation: 'bilinear' } as const },
    },
    {
      source: good,
      plan: { ...WARP, geometry: { kind: 'resized_crop', top: 0, left: 0, height: 0, width: 0, interpolation: 'bilinear' } as const },
    },
    { source: good, plan: { ...WARP, geometry: { kind: 'none' } as const } },
    { source: good, plan: { ...WARP, geometry: { kind: 'padded_crop', padding: 1, top: 7, left: 0 } as const } },
    {
      source: good,
      plan: {
        ...WARP,
        geometry: { kind: 'resize_center_crop', resizeWidth: 3, resizeHeight: 8, top: 0, left: 0, interpolation: 'bilinear' } as const,
      },
    },
    { source: good, plan: WARP },
  ];
  const out = new Uint8Array(jobs.length * 48).fill(9);
  const outcomes = await renderBatch(jobs, 4, out);
  const reasons = outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.reason));
  const expected = [
    /^ok$/,
    /189 bytes: 192 expected/,
    /^jpeg: /,
    /^png: /,
    /crop \(top 4.*leaves the image of 8 x 8/,
    /crop/,
    /8 x 8 pixels, not 4 x 4/,
    /padded crop/,
    /leaves the image of 3 x 8/,
    /^ok$/,
  ];
  for (const [i, pattern] of expected.entries()) assert.match(reasons[i]!, pattern, `job ${i}`);
  for (let i = 1; i < 9; i++) assert.ok(out.subarray(48 * i, 48 * (i + 1)).every((value) => value === 0));
  assert.deepEqual(out.subarray(0, 48), out.subarray(9 * 48));
  assert.ok(out[0] !== 9 || out[1] !== 9);
});

test('a malformed plan is a TypeError that names it, before any work', async () => {
  const source = rawImage(4, 4);
  const refuse = (plan: Partial<RenderPlan>, reason: RegExp) =>
    assert.rejects(
      renderBatch([{ source, plan: { ...WARP, ...plan } }], 4, new Uint8Array(48)),
      (error: Error) => error instanceof TypeError && reason.test(error.message),
    );
  await refuse({ ops: [{ op: 'Blur' as PixelOpName, argument: 1 }] }, /op "Blur".*AutoContrast/);
  await refuse({ ops: [{ op: 'Posterize', argument: 9 }] }, /argument: 9/);
  await refuse({ ops: [{ op: 'Solarize', argument: 1.5 }] }, /argument: 1.5/);
  await refuse({ ops: [{ op: 'Rotate', argument: Number.NaN }] }, /argument: not a finite number/);
  await refuse({ fill: [0, 0, 256] }, /fill: 256/);
  await refuse({ geometry: { kind: 'warp', interpolation: 'nearest' as 'bilinear' } }, /interpolation "nearest"/);
  await assert.rejects(renderBatch([{ source, plan: WARP }], 4, new Uint8Array(47)), /out of 47 bytes/);
  await assert.rejects(renderBatch([{ source, plan: WARP }], 5000, new Uint8Array(3 * 5000 * 5000)), /size: must be 1 to 4096/);
  assert.deepEqual(await renderBatch([], 4, new Uint8Array(0)), []);
});

test('one thread and all threads give the same bytes and outcomes', async () => {
  assert.ok(pixelInfo().threads >= 1);
  const jobs = mixedJobs(120);
  const samples = jobs.map(
    (_, i): FinishSample => ({
      erase: i % 3 ? [] : [{ top: 1, left: 2, height: 9, width: 5, mode: 'pixel', key: [i, 1], box: 0 }],
      mix: { lambda: 0.25, partner: jobs.length - 1 - i, box: i % 2 ? { top: 0, left: 0, height: 4, width: 9 } : null },
    }),
  );
  const results = [];
  for (const threads of [1, 2, 64]) {
    const out = new Uint8Array(jobs.length * 3 * 24 * 24);
    const outcomes = await renderBatch(jobs, 24, out, { threads });
    const floats = new Float32Array(out.length);
    await finishBatch(out, jobs.length, 24, { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4], samples }, floats, { threads });
    results.push({ outcomes, pixels: sha256(out), floats: sha256(new Uint8Array(floats.buffer)) });
  }
  assert.ok(results[0]!.outcomes.some(({ ok }) => !ok) && results[0]!.outcomes.filter(({ ok }) => ok).length > 80);
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
});

test('many calls at once, each with its own result, while the event loop turns', async () => {
  const jobs = mixedJobs(30);
  const render = async () => {
    const out = new Uint8Array(jobs.length * 3 * 16 * 16);
    await renderBatch(jobs, 16, out);
    return sha256(out);
  };
  let settled = false;
  let turns = 0;
  const all = Promise.all(Array.from({ length: 40 }, render)).finally(() => {
    settled = true;
  });
  while (!settled) {
    await nextTurn();
    turns++;
  }
  assert.equal(new Set(await all).size, 1);
  assert.ok(turns > 1);
});

test('an aborted batch skips what has not started and rejects with the reason', async () => {
  const reason = new Error('no longer wanted');
  const source = rawImage(300, 300);
  const jobs = Array.from({ length: 400 }, () => ({ source, plan: WARP }));
  const out = new Uint8Array(jobs.length * 3 * 32 * 32);
  await assert.rejects(renderBatch(jobs, 32, out, { signal: AbortSignal.abort(reason) }), reason);
  assert.ok(out.every((value) => value === 0));
  const controller = new AbortController();
  const rendering = renderBatch(jobs, 32, out, { signal: controller.signal, threads: 1 });
  // Cancelled in the middle of the native call: as soon as the first job's pixels are written.
  while (out.subarray(0, 3 * 32 * 32).every((value) => value === 0)) await nextTurn();
  controller.abort(reason);
  await assert.rejects(rendering, reason);
  const last = out.subarray(-3 * 32 * 32);
  assert.ok(
    last.every((value) => value === 0),
    'the last job ran although the batch was cancelled before it',
  );
});

test('a worker may end while its images are being rendered', async () => {
  const code = `
    const { workerData } = require('node:worker_threads');
    import('tsx/esm/api').then(({ register }) => (register(), import(workerData.url))).then(({ renderBatch }) => {
      const source = { format: 'rgb', bytes: new Uint8Array(3 * 400 * 400), width: 400, height: 400 };
      const plan = { geometry: { kind: 'warp', interpolation: 'bicubic' }, flip: false, ops: [], fill: [0, 0, 0] };
      for (let i = 0; i < 4; i++) void renderBatch(Array.from({ length: 200 }, () => ({ source, plan })), 64, new Uint8Array(200 * 3 * 64 * 64));
      setTimeout(() => process.exit(7), 20);
    });`;
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(code, { eval: true, workerData: { url: new URL('./pixels.ts', import.meta.url).href } });
    const ended = await new Promise<number>((resolve, reject) => worker.once('exit', resolve).once('error', reject));
    assert.equal(ended, 7);
  }
  const out = new Uint8Array(48);
  assert.deepEqual(await renderBatch([{ source: rawImage(9, 9), plan: WARP }], 4, out), [{ ok: true }]);
});

test('memory is stable over many batches', { skip: imagenetTar ? false : 'the shared folder is absent' }, async () => {
  const files = [...tarFiles(imagenetTar!, () => true, 6).values()];
  const jobs = [
    ...files.map((bytes) => ({ source: { format: 'jpeg', bytes, width: 0, height: 0 } as RenderSource, plan: WARP })),
    ...files.map((bytes) => ({
      source: { format: 'jpeg', bytes: bytes.subarray(0, bytes.length / 2), width: 0, height: 0 } as RenderSource,
      plan: WARP,
    })),
    ...mixedJobs(20),
  ];
  const out = new Uint8Array(jobs.length * 3 * 32 * 32);
  const { gc } = globalThis as { gc?: () => void };
  const round = async () => {
    for (let i = 0; i < 8; i++) await renderBatch(jobs, 32, out);
    await decode(jobs[0]!.source);
    gc?.();
    await nextTurn();
    return process.memoryUsage();
  };
  for (let i = 0; i < 2; i++) await round(); // caches and thread scratch fill here
  const before = await round();
  for (let i = 0; i < 3; i++) await round();
  const after = await round();
  // 32 batches of 32 jobs: a leaked image (560 kB) or reference a job would show as hundreds of megabytes.
  assert.ok(after.rss - before.rss < 48 * 2 ** 20, `resident ${before.rss} → ${after.rss}`);
  assert.ok(after.external - before.external < 16 * 2 ** 20, `external ${before.external} → ${after.external}`);
});
