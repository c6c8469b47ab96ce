/** From uint8 to what the model reads: normalisation, erasing, noise, mixing, bfloat16. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { loadAddon } from '#native/addon.js';
import { normalisationTables } from '#native/pixels/plan-record.js';
import { type FinishPlan, type FinishSample, finishBatch } from '#native/pixels.js';
import { normalQuantile } from '#random/normal.js';
import { philoxBlock } from '#random/philox.js';
import { mix } from '../../../test/parity/groups/mix.js';
import { normalisation } from '../../../test/parity/groups/normalisation.js';
import { assertPublic } from '../../../test/parity/public-cases.js';
import { withoutFixtures } from '../../../test/support/fixtures.js';

const addon = loadAddon();

const IMAGENET = { mean: [0.485, 0.456, 0.406] as [number, number, number], std: [0.229, 0.224, 0.225] as [number, number, number] };
const PLAIN: FinishSample = { erase: [], mix: { lambda: 1, partner: 0, box: null } };
const pixelsOf = (count: number) => Uint8Array.from({ length: count }, (_, i) => Math.imul(i + 1, 2654435761) >>> 24);
const sha256 = (array: ArrayBufferView) =>
  createHash('sha256')
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest('hex');

async function finished(
  pixels: Uint8Array,
  size: number,
  samples: FinishSample[],
  norm: Pick<FinishPlan, 'mean' | 'std'> = IMAGENET,
): Promise<Float32Array> {
  const out = new Float32Array(pixels.length);
  await finishBatch(pixels, samples.length, size, { ...norm, samples }, out);
  return out;
}

test('normalisation is the table of the fixtures, rounded to float32', { skip: withoutFixtures }, async () => {
  await assertPublic(normalisation);
});

test('mixup and cutmix in every mode give the images of the fixtures', { skip: withoutFixtures }, async () => {
  await assertPublic(mix);
});

// --- noise

/** noise.h, written a second time over libs/random. */
function expectedNoise(key: [number, number], box: number, sample: number, element: number): number {
  const words = new Uint32Array(4);
  philoxBlock(words, { k0: key[0], k1: key[1] }, Math.floor(element / 4), box, sample, 0x65726173);
  return Math.fround(normalQuantile((words[element % 4]! + 0.5) / 2 ** 32));
}

test('erasing with noise: each value is the stated function of key, sample, box and element', async () => {
  const size = 12;
  const key: [number, number] = [0xdeadbeef, 7];
  const rand = { top: 0, left: 0, height: 3, width: 4, mode: 'rand' as const, key, box: 0 };
  const pixel = { top: 5, left: 3, height: 5, width: 7, mode: 'pixel' as const, key, box: 1 };
  const pixels = pixelsOf(2 * 3 * size * size);
  const out = await finished(pixels, size, [PLAIN, { ...PLAIN, erase: [rand, pixel] }]);
  const plain = await finished(pixels, size, [PLAIN, PLAIN]);
  const at = (c: number, y: number, x: number) => ((3 + c) * size + y) * size + x;
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const inPixel = y >= 5 && y < 10 && x >= 3 && x < 10;
        const element = (c * 5 + (y - 5)) * 7 + (x - 3);
        const wanted = y < 3 && x < 4 ? expectedNoise(key, 0, 1, c) : inPixel ? expectedNoise(key, 1, 1, element) : plain[at(c, y, x)];
        assert.equal(out[at(c, y, x)], wanted, `(${c}, ${y}, ${x})`);
      }
    }
  }
});

test('noise is the same from any first element on', () => {
  const whole = addon.pixelsNoise(1, 2, 3, 4, 0, 40);
  for (const first of [1, 2, 3, 4, 17]) assert.deepEqual(addon.pixelsNoise(1, 2, 3, 4, first, 20), whole.subarray(first, first + 20));
});

test('the normal quantile: equal to libs/random bit for bit, with a committed hash', () => {
  const p = Float64Array.from({ length: 65_536 }, (_, i) => (i * 65_536 + (Math.imul(i, 40_503) & 0xffff) + 0.5) / 2 ** 32);
  p.set([0.5 / 2 ** 32, 1 - 0.5 / 2 ** 32, 0.5, 0.075, 0.925, 1e-9, 1.5e-11]);
  const values = addon.pixelsNormalQuantile(p);
  for (let i = 0; i < p.length; i++) if (!Object.is(values[i], normalQuantile(p[i]!))) assert.fail(`p = ${p[i]}: ${values[i]}`);
  assert.ok(Math.abs(values[2]!) < 1e-300 && Math.abs(values[3]! + 1.4395314709384563) < 1e-14);
  assert.equal(sha256(values), '8c8cb89a0447de078414863c65f7754d6dfe5916c635cdac3627f8fe9827d8de');
  const noise = addon.pixelsNoise(11, 12, 13, 14, 0, 100_000);
  assert.equal(sha256(noise), 'b6baf7813e31d4229f1b17c2b957795a6a02c14023a2d86a0e533060f63a1c6d');
  const mean = noise.reduce((sum, value) => sum + value, 0) / noise.length;
  const variance = noise.reduce((sum, value) => sum + (value - mean) ** 2, 0) / noise.length;
  assert.ok(Math.abs(mean) < 0.012 && Math.abs(variance - 1) < 0.02, `${mean}, ${variance}`);
});

test('rotation angles: cos and sin to 15 decimals, with a committed hash', () => {
  const angles = Float64Array.from({ length: 14_401 }, (_, i) => (i - 7200) / 20);
  const values = new Float64Array(2 * angles.length);
  for (const [i, angle] of angles.entries()) {
    const [cosine, sine] = addon.pixelsRotation(angle);
    const turn = angle % 360;
    const t = -((turn < 0 ? turn + 360 : turn) * (Math.PI / 180));
    assert.ok(Math.abs(cosine - Math.cos(t)) <= 1.2e-15 && Math.abs(sine - Math.sin(t)) <= 1.2e-15, `${angle}: ${cosine}, ${sine}`);
    assert.ok(cosine === Number(cosine.toFixed(15)) && sine === Number(sine.toFixed(15)), `${angle} is not rounded`);
    values.set([cosine, sine], 2 * i);
  }
  assert.deepEqual(addon.pixelsRotation(90), [0, -1]);
  assert.deepEqual(addon.pixelsRotation(-30), [0.866025403784438, 0.5]);
  assert.equal(sha256(values), '874930cc5a3f05935157c734caa3312721aae36dde60fbff8144f6b68d6c6b20');
});

// --- mixing, outputs, refusals

test('a mix takes the erased, unmixed partner; a box with λ = 1 is still pasted', async () => {
  const size = 6;
  const pixels = pixelsOf(3 * 3 * size * size);
  const erase = [{ top: 1, left: 1, height: 4, width: 4, mode: 'pixel' as const, key: [5, 6] as [number, number], box: 0 }];
  const box = { top: 0, left: 2, height: 3, width: 4 };
  const mixed = await finished(pixels, size, [
    { erase, mix: { lambda: 0.3, partner: 1, box: null } },
    { erase, mix: { lambda: 0.6, partner: 0, box: null } },
    { erase: [], mix: { lambda: 1, partner: 0, box } },
  ]);
  const alone = await finished(pixels, size, [{ ...PLAIN, erase }, { ...PLAIN, erase }, PLAIN]);
  const f = Math.fround;
  const area = 3 * size * size;
  for (let i = 0; i < area; i++) {
    const [a, b] = [alone[i]!, alone[area + i]!];
    assert.equal(mixed[i], f(f(a * f(0.3)) + f(b * f(1 - 0.3))));
    assert.equal(mixed[area + i], f(f(b * f(0.6)) + f(a * f(1 - 0.6))));
    const [y, x] = [Math.floor((i % (size * size)) / size), i % size];
    assert.equal(mixed[2 * area + i], y < 3 && x >= 2 ? a : alone[2 * area + i]);
  }
});

test('bfloat16 output is the float32 output rounded to nearest, ties to even', async () => {
  const size = 16;
  const pixels = pixelsOf(2 * 3 * size * size);
  const erase = [{ top: 0, left: 0, height: 8, width: 16, mode: 'pixel' as const, key: [1, 2] as [number, number], box: 0 }];
  const samples: FinishSample[] = [{ erase, mix: { lambda: 0.37, partner: 1, box: null } }, PLAIN];
  const float32 = await finished(pixels, size, samples);
  const bfloat16 = new Uint16Array(pixels.length);
  await finishBatch(pixels, 2, size, { ...IMAGENET, samples }, bfloat16);
  const bits = new Uint32Array(float32.buffer);
  for (let i = 0; i < bits.length; i++) {
    const low = bits[i]! & 0xffff;
    const high = bits[i]! >>> 16;
    const up = low > 0x8000 || (low === 0x8000 && high % 2 === 1);
    assert.equal(bfloat16[i], up ? high + 1 : high);
  }
  // The exact tie: 1 + 2^-8 lies between 1 and 1 + 2^-7.
  const tied = new Uint16Array(12);
  await finishBatch(new Uint8Array(12).fill(255), 1, 2, { mean: [-0.00390625, -0.01171875, 0], std: [1, 1, 1], samples: [PLAIN] }, tied);
  assert.deepEqual([tied[0], tied[4], tied[8]], [0x3f80, 0x3f82, 0x3f80]);
});

test('a finish plan that does not fit is refused, naming what is wrong', async () => {
  const refuse = async (sample: Partial<FinishSample>, reason: RegExp) =>
    assert.rejects(
      finished(pixelsOf(48), 4, [{ ...PLAIN, ...sample }]),
      (error: Error) => error instanceof TypeError && reason.test(error.message),
    );
  const noise = { mode: 'pixel' as const, key: [0, 0] as [number, number], box: 0 };
  await refuse({ mix: { lambda: 0.5, partner: 1, box: null } }, /partner 1 of sample 0: the batch has 1/);
  await refuse({ mix: { lambda: 1.5, partner: 0, box: null } }, /lambda/);
  await refuse({ mix: { lambda: Number.NaN, partner: 0, box: null } }, /lambda/);
  await refuse({ mix: { lambda: 1, partner: 0, box: { top: 2, left: 0, height: 3, width: 1 } } }, /mix box of sample 0/);
  await refuse({ erase: [{ ...noise, top: 0, left: 3, height: 1, width: 2 }] }, /erase box of sample 0/);
  await refuse({ erase: [{ ...noise, top: -1, left: 0, height: 1, width: 1 }] }, /box top/);
  await refuse({ erase: [{ ...noise, key: [0, 2 ** 32], top: 0, left: 0, height: 1, width: 1 }] }, /erase key/);
  await assert.rejects(finishBatch(pixelsOf(48), 2, 4, { ...IMAGENET, samples: [PLAIN] }, new Float32Array(48)), /plan of 1 samples/);
  await assert.rejects(finishBatch(pixelsOf(48), 1, 4, { ...IMAGENET, samples: [PLAIN] }, new Float32Array(47)), /out: must hold/);
  assert.throws(() => normalisationTables({ mean: [0, 0, 0], std: [1, 0, 1] }), /std/);
});
