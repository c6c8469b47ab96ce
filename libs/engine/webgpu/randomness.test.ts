/** Dropout's masks and the kept samples are those of every executor, to the bit. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { closeTestDevice, noWebgpu, runKernel } from '../../../test/support/webgpu-kernel.js';
import { keepsPath, siteMask } from '../masks.js';
import { DROPPED } from './kernels/shared.js';
import { KeptSamples } from './randomness.js';

after(closeTestDevice);

const rate = fc.double({ min: 0, max: 0.99, noNaN: true });
const seed = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });

test('the device draws the masks of masks.ts', { skip: noWebgpu }, async () => {
  const elements = fc.integer({ min: 1, max: 50 }).map((half) => 2 * half);
  await fc.assert(
    fc.asyncProperty(
      rate,
      seed,
      word,
      fc.integer({ min: 0, max: 1000 }),
      fc.nat(500),
      elements,
      async (p, seed, step, firstSample, site, width) => {
        const positions = [0, 2, 3];
        const { y } = await runKernel({
          kernel: 'dropout',
          attributes: { rows: 1, width },
          inputs: { x: new Float32Array(positions.length * width).fill(1) },
          outputs: { y: positions.length * width },
          n: positions.length,
          samples: 4,
          positions,
          dropout: { rate: p, site, siteElements: width, seed, step, firstSample },
        });
        const siteRates = new Float64Array(site + 1).fill(p);
        const expected = positions.map((at) => {
          const mask = new Float32Array(width);
          siteMask(mask, { seed, step, siteRates, pathRates: new Float64Array() }, site, firstSample + at);
          return [...mask];
        });
        assert.deepEqual([...y!], expected.flat());
      },
    ),
    { numRuns: 30 },
  );
});

test('the kept samples of a chunk, drawn or explicit, are listed by position, and their slots are the inverse', () => {
  const rates = fc.array(rate, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      rates,
      seed,
      word,
      fc.integer({ min: 1, max: 6 }),
      fc.nat(2),
      fc.nat(9),
      fc.boolean(),
      (rates, seed, step, samples, spare, firstRow, explicit) => {
        const chunkSamples = samples + spare;
        const firstSample = 3 * firstRow;
        const pathMasks = rates.map((_, path) =>
          explicit && path % 2 === 0 ? Uint8Array.from({ length: firstRow + samples }, (_, i) => (i >> path) & 1) : undefined,
        );
        const random = { seed, step, siteRates: new Float64Array(), pathRates: Float64Array.from(rates) };
        const kept = new KeptSamples(rates.length, chunkSamples, {
          samples,
          firstSample,
          firstRow,
          lossScale: 1,
          random: { ...random, pathMasks },
        });
        for (let path = 0; path < rates.length; path++) {
          const mask = pathMasks[path];
          const all = Array.from({ length: samples }, (_, i) => i);
          const expected = all.filter((i) => (mask ? mask[firstRow + i] : keepsPath(random, path, firstSample + i)));
          const [positions, slots] = [kept.positionsAt(path + 1), kept.slotsAt(path)];
          assert.deepEqual([...kept.list.subarray(positions, positions + kept.count(path + 1))], expected);
          assert.deepEqual(
            [...kept.list.subarray(slots, slots + samples)],
            all.map((i) => (expected.includes(i) ? expected.indexOf(i) : DROPPED)),
          );
        }
        assert.equal(kept.count(0), samples);
        assert.deepEqual(
          [...kept.list.subarray(0, chunkSamples)],
          Array.from({ length: chunkSamples }, (_, i) => i),
        );
      },
    ),
  );
});
