import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { exp, log } from './elementary.js';
import { normalQuantile } from './normal.js';
import { fnv1a32, keepThreshold, PhiloxDraws, philoxBlock, purposeKey, seedKey, uniform53, uniformOpen } from './philox.js';

const hex = (words: Uint32Array) => [...words].map((word) => word.toString(16).padStart(8, '0')).join(' ');

test('Philox 4x32-10 gives the known answers of Random123', () => {
  const out = new Uint32Array(4);
  philoxBlock(out, { k0: 0, k1: 0 }, 0, 0, 0, 0);
  assert.equal(hex(out), '6627e8d5 e169c58d bc57ac4c 9b00dbd8');
  const ones = 0xffffffff;
  philoxBlock(out, { k0: ones, k1: ones }, ones, ones, ones, ones);
  assert.equal(hex(out), '408f276d 41c83b0e a20bc7c6 6d5451fd');
  philoxBlock(out, { k0: 0xa4093822, k1: 0x299f31d0 }, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344);
  assert.equal(hex(out), 'd16cfe09 94fdcceb 5001e420 24126ea1');
});

test('Philox equals its definition in 64-bit integers at any counter and key', () => {
  const word = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(
    fc.property(fc.array(word, { minLength: 4, maxLength: 4 }), word, word, (counter, k0, k1) => {
      let [x0, x1, x2, x3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
      let [a, b] = [BigInt(k0), BigInt(k1)];
      const mask = 0xffffffffn;
      for (let round = 0; round < 10; round++) {
        const p0 = 0xd2511f53n * x0;
        const p1 = 0xcd9e8d57n * x2;
        [x0, x1, x2, x3] = [(p1 >> 32n) ^ x1 ^ a, p1 & mask, (p0 >> 32n) ^ x3 ^ b, p0 & mask];
        a = (a + 0x9e3779b9n) & mask;
        b = (b + 0xbb67ae85n) & mask;
      }
      const out = new Uint32Array(4);
      philoxBlock(out, { k0, k1 }, ...(counter as [number, number, number, number]));
      assert.deepEqual([...out], [x0, x1, x2, x3].map(Number));
    }),
  );
});

test('keys: the seed in words; purposes are told apart', () => {
  assert.deepEqual(seedKey(0x0123456789abcdefn), { k0: 0x89abcdef, k1: 0x01234567 });
  assert.deepEqual(seedKey(-1n), { k0: 0xffffffff, k1: 0xffffffff });
  const keys = ['init', 'order', 'crop', 'mix'].map((purpose) => JSON.stringify(purposeKey(7n, purpose)));
  assert.equal(new Set([...keys, JSON.stringify(purposeKey(8n, 'init')), JSON.stringify(seedKey(7n))]).size, 6);
  assert.equal(fnv1a32('a'), 0xe40c292c); // Fowler, Noll and Vo's own test vector
});

test('draws are a function of the index, whatever was asked before', () => {
  const forward = new PhiloxDraws(seedKey(3n), 1, 2, 3);
  const backward = new PhiloxDraws(seedKey(3n), 1, 2, 3);
  const indices = Array.from({ length: 40 }, (_, index) => index);
  const ahead = indices.map((index) => forward.word(index));
  const behind = indices.toReversed().map((index) => backward.word(index));
  assert.deepEqual(ahead, behind.toReversed());
  assert.equal(forward.uniform(5), uniform53(ahead[10] as number, ahead[11] as number));
});

test('uniforms cover their interval and exclude what they say', () => {
  assert.equal(uniform53(0, 0), 0);
  assert.equal(uniform53(0xffffffff, 0xffffffff), 1 - 2 ** -53);
  assert.ok(uniformOpen(0, 0) > 0 && uniformOpen(0xffffffff, 0xffffffff) < 1);
  assert.equal(uniformOpen(0, 0) + uniformOpen(0xffffffff, 0xffffffff), 1);
  assert.equal(keepThreshold(0), 2 ** 32);
  assert.equal(keepThreshold(1), 0);
  assert.equal(keepThreshold(0.5), 2 ** 31);
});

test('exp and log agree with the platform to 2 ulp and invert each other', () => {
  fc.assert(
    fc.property(fc.double({ min: -700, max: 700, noNaN: true }), (x) => {
      assert.ok(Math.abs(exp(x) / Math.exp(x) - 1) < 5e-16, `exp ${x}`);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.double({ min: 1e-320, max: 1e300, noNaN: true }), (x) => {
      const expected = Math.log(x);
      assert.ok(Math.abs(log(x) - expected) <= 4.5e-16 * Math.max(Math.abs(expected), 1e-3), `log ${x}`);
    }),
    { numRuns: 2000 },
  );
  for (const x of [0.5, 0.9999999, 1.0000001, 2, 10])
    assert.ok(Math.abs(log(x) - Math.log(x)) <= 4.5e-16 * Math.abs(Math.log(x)), `log ${x}`);
  assert.deepEqual([log(1), log(0), log(-1), exp(0), exp(-800), exp(800)], [0, -Infinity, NaN, 1, 0, Infinity]);
});

test('the normal quantile hits tabulated values and is symmetric', () => {
  const table: [number, number][] = [
    [0.5, 0],
    [0.25, -0.6744897501960817], // AS 241's own check values
    [0.001, -3.090232306167814],
    [1e-20, -9.26234008979841],
    [0.975, 1.959963984540054],
  ];
  for (const [p, x] of table)
    assert.ok(Math.abs(normalQuantile(p) - x) <= 1e-15 * Math.max(1, Math.abs(x)) * 4, `p = ${p}: ${normalQuantile(p)}`);
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 0.5, noNaN: true }), (p) => Math.abs(normalQuantile(p) + normalQuantile(1 - p)) < 1e-9),
  );
});

test('inverted draws have the moments of a standard normal', () => {
  const draws = new PhiloxDraws(purposeKey(1n, 'moments'));
  const n = 20000;
  let [sum, squares, fourths] = [0, 0, 0];
  for (let index = 0; index < n; index++) {
    const x = normalQuantile(draws.uniformOpen(index));
    sum += x;
    squares += x * x;
    fourths += x ** 4;
  }
  assert.ok(Math.abs(sum / n) < 4 / Math.sqrt(n));
  assert.ok(Math.abs(squares / n - 1) < 4 * Math.sqrt(2 / n));
  assert.ok(Math.abs(fourths / n - 3) < 4 * Math.sqrt(96 / n));
});
