/** 16-bit elements on the device: f16 keeps every number that it has, rounds once, and overflows to infinity. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { float16ToFloat32, float32ToFloat16 } from '#interchange/half-floats.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { closeTestDevice, noF16, runKernel } from '../../../../test/support/webgpu-kernel.js';

after(closeTestDevice);
const skip = noF16;

const cast = (x: Float32Array, halves: ('in.x' | 'out.y')[]) =>
  runKernel({ kernel: 'cast', attributes: { width: 1 }, inputs: { x }, outputs: { y: x.length }, n: x.length, halves, half: 'f16' });

const everyF16 = float16ToFloat32(Uint16Array.from({ length: 65_536 }, (_, bits) => bits));

test('every f16 but NaN is read and stored as it is, also those below the normal ones', { skip }, async () => {
  const numbers = everyF16.filter((value) => !Number.isNaN(value));
  assert.deepEqual((await cast(numbers, ['in.x'])).y, numbers);
  assert.deepEqual((await cast(numbers, ['out.y'])).y, numbers);
  const { y } = await cast(Float32Array.of(Number.NaN, -Number.NaN), ['out.y']);
  assert.ok(y!.every(Number.isNaN));
});

test('what lies between two f16 goes to the nearer one, ties to even, and from 65520 on to infinity', { skip }, async () => {
  const finite = everyF16.filter(Number.isFinite).sort();
  const between = [...finite].flatMap((value, i) => {
    const middle = (value + (finite[i + 1] ?? 65_536)) / 2;
    // The neighbours of a tie in fp32 are on either side of it.
    return [middle, middle * (1 - 2 ** -23), middle * (1 + 2 ** -23)];
  });
  const draws = new PhiloxDraws(purposeKey(7n, 'halves.test'));
  const anywhere = Array.from({ length: 20_000 }, (_, i) => (draws.uniform(2 * i) - 0.5) * 2 ** (60 * draws.uniform(2 * i + 1) - 40));
  const ends = [65_519.99, 65_520, -65_520, 1e38, -1e38, Number.POSITIVE_INFINITY, 2 ** -25, 2 ** -26];
  const x = Float32Array.from([...between, ...anywhere, ...ends]);
  const wanted = float16ToFloat32(float32ToFloat16(x));
  const { y } = await cast(x, ['out.y']);
  for (const [i, value] of wanted.entries()) assert.ok(Object.is(y![i], value), `${x[i]} is stored as ${y![i]}, must be ${value}`);
});
