import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { Limiter } from './limiter.js';

test('at most `width` pieces of work run at a time, all run once and in order, whatever fails', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.record({ turns: fc.nat(3), fails: fc.boolean() }), { maxLength: 20 }),
      async (width, pieces) => {
        const limiter = new Limiter(width);
        let running = 0;
        let most = 0;
        const begun: number[] = [];
        const results = await Promise.allSettled(
          pieces.map(({ turns, fails }, k) =>
            limiter.run(async () => {
              begun.push(k);
              most = Math.max(most, ++running);
              for (let t = 0; t < turns; t++) await turn();
              running--;
              if (fails) throw new Error(`${k}`);
              return k;
            }),
          ),
        );
        assert.deepEqual(
          begun,
          pieces.map((_, k) => k),
        );
        assert.ok(most <= width);
        for (const [k, result] of results.entries()) {
          assert.equal(result.status, pieces[k]!.fails ? 'rejected' : 'fulfilled');
          if (result.status === 'fulfilled') assert.equal(result.value, k);
        }
        assert.equal(limiter.waiting, 0);
        assert.equal(await limiter.run(async () => 'free'), 'free');
      },
    ),
    { numRuns: 50 },
  );
});
