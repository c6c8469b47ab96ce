import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './half-floats.js';

const allBits = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** The definition, in doubles. */
function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

test('every float16 widens to its value, and narrows back to its bits', () => {
  const wide = float16ToFloat32(allBits);
  for (let i = 0; i < 65536; i++) assert.ok(Object.is(wide[i], float16Value(i)), `bits ${i.toString(16)}: ${wide[i]}`);
  const back = float32ToFloat16(wide);
  for (let i = 0; i < 65536; i++) assert.equal(back[i], Number.isNaN(wide[i]) ? i | 0x200 : i);
});

test('every bfloat16 widens to the upper half of its float32, and narrows back', () => {
  const wide = bfloat16ToFloat32(allBits);
  const words = new Uint32Array(wide.buffer);
  for (let i = 0; i < 65536; i++) assert.equal(words[i]! >>> 16, i);
  const back = float32ToBfloat16(wide);
  for (let i = 0; i < 65536; i++) assert.equal(back[i], Number.isNaN(wide[i]) ? i | 0x40 : i);
});

/** The neighbours below and above in magnitude, and which of them is nearest, the even one in a tie. */
function nearest(value: number, widen: (bits: number) => number, infinity: number): number {
  const magnitude = Math.abs(value);
  let [low, high] = [0, infinity];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (widen(middle) <= magnitude) low = middle;
    else high = middle;
  }
  // Overflow: infinity stands where the next value would.
  const step = widen(low) - widen(low - 1);
  const above = high === infinity ? widen(low) + step : widen(high);
  const [below2, above2] = [magnitude - widen(low), above - magnitude];
  if (magnitude === Number.POSITIVE_INFINITY) return infinity;
  return below2 < above2 || (below2 === above2 && low % 2 === 0) ? low : high;
}

const bfloat16Value = (bits: number) => bfloat16ToFloat32(Uint16Array.of(bits))[0]!;

test('narrowing rounds to the nearest value, ties to even', () => {
  const anyFloat = fc.oneof(
    fc.float({ noNaN: true }),
    fc.float({ noNaN: true, min: -65600, max: 65600 }),
    fc.float({ noNaN: true, min: -(2 ** -13), max: 2 ** -13 }),
    // Halfway between two neighbours, and one float32 beside it.
    fc.tuple(fc.integer({ min: 1, max: 0x7bfe }), fc.constantFrom(-1, 0, 1)).map(([bits, aside]) => {
      const middle = Float32Array.of((float16Value(bits) + float16Value(bits + 1)) / 2);
      new Uint32Array(middle.buffer)[0]! += aside;
      return middle[0]!;
    }),
    fc.tuple(fc.integer({ min: 1, max: 0x7f7e }), fc.integer({ min: 0x7fff, max: 0x8001 })).map(([bits, low]) => {
      return new Float32Array(Uint32Array.of(bits * 65536 + low).buffer)[0]!;
    }),
  );
  fc.assert(
    fc.property(anyFloat, (value) => {
      const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
      assert.equal(float32ToFloat16(Float32Array.of(value))[0], sign | nearest(value, float16Value, 0x7c00), `float16 of ${value}`);
      assert.equal(float32ToBfloat16(Float32Array.of(value))[0], sign | nearest(value, bfloat16Value, 0x7f80), `bfloat16 of ${value}`);
    }),
    { seed: 4, numRuns: 3000 },
  );
});

test('limits of float16', () => {
  const cases: [number, number][] = [
    [65504, 0x7bff],
    [65519.996, 0x7bff],
    [65520, 0x7c00],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [2 ** -25 * (1 + 2 ** -23), 1],
    [-(2 ** -25), 0x8000],
    [2 ** -14 - 2 ** -26, 0x400],
    [1e-45, 0],
    [-0, 0x8000],
  ];
  for (const [value, bits] of cases) assert.equal(float32ToFloat16(Float32Array.of(value))[0], bits, String(value));
});
