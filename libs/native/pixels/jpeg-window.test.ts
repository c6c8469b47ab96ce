/** A window of a JPEG equals that window of libjpeg-turbo's full decode, byte for byte: every sampling, restarts, real photographs. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadAddon } from '#native/addon.js';
import { decode, readHeader } from '#native/pixels.js';
import { augmentFolder, imagenetTar, tarFiles } from '../../../test/support/image-fixtures.js';
import { type JpegShape, randomJpeg } from '../../../test/support/random-jpeg.js';

const addon = loadAddon();
const WHOLE = Int32Array.of(0, 0, 0, 0);
const skip = augmentFolder && imagenetTar ? false : 'the shared folder is absent';

interface Window {
  top: number;
  left: number;
  height: number;
  width: number;
}

/** Of an image: fractions of what is free, 0 to 1. */
const windowOf = (width: number, height: number, [top, left, h, w]: readonly number[]): Window => {
  const size = { height: 1 + Math.floor(h! * (height - 1)), width: 1 + Math.floor(w! * (width - 1)) };
  return { ...size, top: Math.round(top! * (height - size.height)), left: Math.round(left! * (width - size.width)) };
};

function full(file: Uint8Array, width: number, height: number): Uint8Array {
  const out = new Uint8Array(3 * width * height);
  assert.ok(addon.pixelsDecodeWindow(file, WHOLE, 0, out));
  return out;
}

/** Whether our own decoder took the file; if so its window must be that of `expected`. */
function compared(file: Uint8Array, expected: Uint8Array, width: number, height: number, window: Window): boolean {
  const out = new Uint8Array(3 * window.height * window.width);
  if (!addon.pixelsDecodeWindow(file, Int32Array.of(window.top, window.left, window.height, window.width), 1, out)) return false;
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < window.height; y++) {
      const from = (c * height + window.top + y) * width + window.left;
      const line = out.subarray((c * window.height + y) * window.width, (c * window.height + y + 1) * window.width);
      if (Buffer.compare(expected.subarray(from, from + window.width), line) !== 0) {
        assert.fail(`channel ${c}, row ${y} of ${JSON.stringify(window)} of ${width} x ${height}`);
      }
    }
  }
  return true;
}

const part = fc.double({ min: 0, max: 1, noNaN: true });
const place = fc.tuple(part, part, part, part);
const shapes: fc.Arbitrary<JpegShape> = fc.record({
  width: fc.integer({ min: 6, max: 150 }),
  height: fc.integer({ min: 1, max: 90 }),
  components: fc.constantFrom(1 as const, 3 as const, 3 as const),
  sampling: fc.constantFrom([1, 1] as const, [2, 1] as const, [1, 2] as const, [2, 2] as const),
  restart: fc.constantFrom(0, 0, 1, 3, 7, 20),
  bits: fc.integer({ min: 1, max: 6 }),
  quant: fc.integer({ min: 1, max: 9 }),
});

function drawer(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('windows of random files of every sampling', () => {
  let taken = 0;
  fc.assert(
    fc.property(shapes, fc.integer(), fc.array(place, { minLength: 1, maxLength: 5 }), (shape, seed, places) => {
      const file = randomJpeg(shape, drawer(seed));
      const expected = full(file, shape.width, shape.height);
      compared(file, expected, shape.width, shape.height, { top: 0, left: 0, height: shape.height, width: shape.width });
      for (const at of places)
        taken += Number(compared(file, expected, shape.width, shape.height, windowOf(shape.width, shape.height, at)));
    }),
    { seed: 20261124, numRuns: 400 },
  );
  assert.ok(taken > 800, `only ${taken} windows were decoded by our own decoder`);
});

test('coefficients beyond what a photograph has are left to libjpeg-turbo, or come out as its own', () => {
  const outcomes = { taken: 0, left: 0 };
  fc.assert(
    fc.property(
      shapes,
      fc.integer({ min: 7, max: 10 }),
      fc.constantFrom(1, 8, 40, 255),
      fc.integer(),
      place,
      (shape, bits, quant, seed, at) => {
        const file = randomJpeg({ ...shape, bits, quant }, drawer(seed));
        const expected = full(file, shape.width, shape.height);
        outcomes[compared(file, expected, shape.width, shape.height, windowOf(shape.width, shape.height, at)) ? 'taken' : 'left']++;
      },
    ),
    { seed: 7, numRuns: 200 },
  );
  assert.ok(outcomes.taken > 10 && outcomes.left > 10, JSON.stringify(outcomes));
});

test('windows of photographs, all decoded by our own decoder', { skip }, () => {
  const draw = drawer(5);
  for (const [name, file] of tarFiles(imagenetTar!, (entry) => entry.endsWith('.JPEG'), 60)) {
    const { width, height } = readHeader(file);
    const expected = full(file, width, height);
    for (let i = 0; i < 4; i++) {
      const at = Array.from({ length: 4 }, () => (i === 0 ? 1 : draw(1000) / 1000));
      assert.ok(compared(file, expected, width, height, windowOf(width, height, at)), name);
    }
  }
});

test('the special files: what is plain equals, what is not is left alone', { skip }, () => {
  const folder = join(augmentFolder!, 'jpeg');
  const plain = readdirSync(folder).filter((name) => {
    if (!name.endsWith('.jpg')) return false;
    const file = new Uint8Array(readFileSync(join(folder, name)));
    const { width, height } = readHeader(file);
    return compared(file, full(file, width, height), width, height, { top: 0, left: 0, height, width });
  });
  for (const name of ['baseline_420.jpg', 'baseline_444.jpg', 'restart.jpg']) assert.ok(plain.includes(name), name);
  for (const name of ['progressive_420.jpg', 'cmyk.jpg', 'rgb_colorspace.jpg']) assert.ok(!plain.includes(name), name);
});

test('damage anywhere gives what libjpeg-turbo gives, pixels or refusal', async () => {
  const draw = drawer(11);
  const outcomes = { same: 0, refused: 0 };
  for (let i = 0; i < 300; i++) {
    const shape: JpegShape = {
      width: 70,
      height: 50,
      components: 3,
      sampling: i % 2 ? [2, 2] : [1, 1],
      restart: i % 3 ? 0 : 4,
      bits: 4,
      quant: 3,
    };
    const bytes = randomJpeg(shape, draw);
    const kept = i % 5 === 0 ? bytes.slice(0, bytes.length - 1 - draw(200)) : bytes;
    for (let k = 0; k < 1 + (i % 3); k++) kept[20 + draw(kept.length - 20)] = draw(256);
    const expected = new Uint8Array(3 * 70 * 50);
    let refused = false;
    try {
      addon.pixelsDecodeWindow(kept, WHOLE, 0, expected);
    } catch {
      refused = true;
    }
    outcomes[refused ? 'refused' : 'same']++;
    const decoded = await decode({ format: 'jpeg', bytes: kept, width: 70, height: 50 }).catch(() => undefined);
    if (refused) {
      assert.equal(decoded, undefined);
      continue;
    }
    assert.ok(decoded);
    for (let at = 0; at < 70 * 50; at++) {
      for (let c = 0; c < 3; c++)
        if (decoded.rgb[3 * at + c] !== expected[c * 3500 + at]) assert.fail(`file ${i}, pixel ${at}, channel ${c}`);
    }
  }
  assert.ok(outcomes.same > 30 && outcomes.refused > 20, JSON.stringify(outcomes));
});
