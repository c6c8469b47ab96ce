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

test('scores without a finite loss are refused, with their number', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0.5, 2, Number.NaN, Number.POSITIVE_INFINITY), { minLength: 1, maxLength: 20 }), (losses) => {
      const sums = new ScoreSums(2, 'moving average');
      for (const loss of losses) sums.add(Number.isFinite(loss) ? [1, 0] : [Number.NaN, Number.NaN], [loss], [0]);
      const broken = losses.filter((loss) => !Number.isFinite(loss)).length;
      if (broken === 0) assert.ok(Number.isFinite(sums.scores().loss));
      else assert.throws(() => sums.scores(), new RegExp(`loss of ${broken} of ${losses.length} samples .* moving average`));
    }),
  );
});
