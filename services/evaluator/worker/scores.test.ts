import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ScoreSums } from './scores.js';

test('scores by hand: ties go to the lower class', () => {
  const sums = new ScoreSums(6);
  const logits = [
    [5, 1, 1, 1, 1, 1], // label 0: first
    [1, 1, 0, 0, 0, 0], // label 1: tied with 0, so second
    [6, 5, 4, 3, 2, 1], // label 5: last of six
  ].flat();
  sums.add(logits, [0.5, 1, 3], [0, 1, 5]);
  const scores = sums.scores();
  assert.deepEqual([scores.loss, scores.top1, scores.top5], [1.5, 100 / 3, 200 / 3]);
  assert.deepEqual(scores.classCorrect, [1n, 0n, 0n, 0n, 0n, 0n]);
  assert.deepEqual(scores.classSamples, [1n, 1n, 0n, 0n, 0n, 1n]);
});

test('how samples are batched does not matter', () => {
  const sample = fc.record({
    logits: fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 3, maxLength: 3 }),
    label: fc.nat(2),
    loss: fc.nat(9),
  });
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 20 }), (samples, size) => {
      const whole = new ScoreSums(3);
      const parts = new ScoreSums(3);
      const add = (sums: ScoreSums, some: typeof samples) =>
        sums.add(
          some.flatMap(({ logits }) => logits),
          some.map(({ loss }) => loss),
          some.map(({ label }) => label),
        );
      add(whole, samples);
      for (let at = 0; at < samples.length; at += size) add(parts, samples.slice(at, at + size));
      assert.deepEqual(parts.scores(), whole.scores());
      assert.equal(parts.samples, samples.length);
    }),
  );
});

test('a sample without finite logits is never right', () => {
  const sums = new ScoreSums(2);
  sums.add([Number.NaN, Number.NaN], [Number.NaN], [0]);
  assert.equal(sums.scores().top1, 0);
});
