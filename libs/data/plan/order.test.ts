import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { blockPermutation } from './block-order.js';
import {
  batchesPerEpoch,
  batchSlots,
  type Dealing,
  epochPermutation,
  firstPosition,
  isShuffled,
  subsetSample,
  subsetSize,
} from './order.js';

const all = { stride: 0, offset: 0, invert: false };
const range = (n: number) => Array.from({ length: n }, (_, i) => i);

test('an epoch holds every sample once', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3000 }),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.integer({ min: 0, max: 1e6 }),
      (n, seed, epoch) => {
        const at = epochPermutation('m', all, seed, epoch, n);
        assert.deepEqual(
          range(n)
            .map(at)
            .sort((a, b) => a - b),
          range(n),
        );
      },
    ),
    { numRuns: 50 },
  );
});

test('the order changes with manifest, subset, seed and epoch, and with nothing else', () => {
  const order = (manifest: string, seed: bigint, epoch: number, subset = all) =>
    range(100)
      .map(epochPermutation(manifest, subset, seed, epoch, 100))
      .join();
  assert.equal(order('m', 1n, 2), order('m', 1n, 2));
  const different = [
    order('m', 1n, 2),
    order('n', 1n, 2),
    order('m', 2n, 2),
    order('m', 1n, 3),
    order('m', 1n, 2, { stride: 2, offset: 0, invert: false }),
  ];
  assert.equal(new Set(different).size, different.length);
});

test('the order of a known epoch does not change between versions', () => {
  assert.deepEqual(range(12).map(epochPermutation('0'.repeat(64), all, 7n, 3, 12)), KNOWN_ORDER);
});

test('all orders of few samples are about equally frequent; so are all places of many', () => {
  const orders = new Map<string, number>();
  for (let epoch = 0; epoch < 30_000; epoch++) {
    const order = range(5)
      .map(epochPermutation('m', all, 1n, epoch, 5))
      .join('');
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  assert.equal(orders.size, 120);
  assert.ok(chiSquare([...orders.values()]) < 190, 'orders of 5'); // 119 degrees of freedom: beyond 190 in 4 of 100,000 cases
  const places = new Array<number>(101).fill(0);
  const neighbours = new Array<number>(101).fill(0);
  for (let epoch = 0; epoch < 5000; epoch++) {
    const at = epochPermutation('m', all, 1n, epoch, 101);
    places[at(17)]!++;
    neighbours[(at(18) - at(17) + 101) % 101]!++;
  }
  assert.ok(chiSquare(places) < 170, 'place of one position'); // 100 degrees of freedom
  assert.equal(neighbours[0], 0);
  assert.ok(chiSquare(neighbours.slice(1)) < 170, 'distance of neighbours');
});

const chiSquare = (counts: number[]) => {
  const expected = counts.reduce((a, b) => a + b, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
};

const anyBlocks = fc.record({ blockSamples: fc.integer({ min: 1, max: 400 }), blocksMixed: fc.integer({ min: 1, max: 20 }) });

test('an epoch in blocks holds every sample once, and a window of it only its blocks', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), anyBlocks, fc.nat(1e6), (n, blocks, epoch) => {
      const order = range(n).map(blockPermutation('m', all, 3n, epoch, n, blocks));
      assert.deepEqual(
        [...order].sort((a, b) => a - b),
        range(n),
      );
      const { blockSamples, blocksMixed } = blocks;
      const window = order.slice(0, blockSamples * blocksMixed).sort((a, b) => a - b);
      const runs = window.filter((sample, i) => i === 0 || sample !== window[i - 1]! + 1).length;
      // Each block is one run of neighbours, or two if the rotation cuts it.
      if (Math.floor(n / blockSamples) > blocksMixed) assert.ok(runs <= blocksMixed + 1, `${runs} runs of ${blocksMixed} blocks`);
    }),
    { numRuns: 60 },
  );
});

test('every order is a bijection of more than a million, at any position and in any sequence', () => {
  const n = 1_281_167;
  const orders = () => [
    epochPermutation('m', all, 5n, 7, n),
    blockPermutation('m', all, 5n, 7, n, { blockSamples: 1024, blocksMixed: 16 }),
  ];
  const again = orders();
  for (const [i, at] of orders().entries()) {
    const seen = new Uint8Array(n);
    for (let position = 0; position < n; position++) seen[at(position)]!++;
    assert.ok(seen.every((count) => count === 1));
    // The order is the same if it is resumed anywhere, in another sequence.
    for (const position of [n - 1, 0, 16_384, 16_383, n >> 1, 3]) assert.equal(again[i]!(position), at(position));
  }
});

test('the blocks of an epoch differ in cuts, order and what is left over from those of another', () => {
  const order = (epoch: number, blocks = { blockSamples: 10, blocksMixed: 2 }) =>
    range(105).map(blockPermutation('m', all, 1n, epoch, 105, blocks));
  const last = new Set(range(200).flatMap((epoch) => order(epoch).slice(-5)));
  assert.equal(last.size, 105, 'any sample may be the one that drop-last leaves out');
  const firsts = new Map<number, number>();
  for (let epoch = 0; epoch < 10_500; epoch++) {
    const sample = blockPermutation('m', all, 1n, epoch, 105, { blockSamples: 10, blocksMixed: 2 })(0);
    firsts.set(sample, (firsts.get(sample) ?? 0) + 1);
  }
  assert.ok(chiSquare([...firsts.values()]) < 175, 'first sample'); // 104 degrees of freedom
  assert.notDeepEqual(order(0), order(0, { blockSamples: 10, blocksMixed: 3 }));
  assert.deepEqual(range(12).map(blockPermutation('0'.repeat(64), all, 7n, 3, 12, { blockSamples: 2, blocksMixed: 2 })), KNOWN_BLOCKS);
});

test('padded batches are full, every rank has the same number, and positions past the end mark the padding', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 5 }),
      (samples, batchSize, worldSize) => {
        const ranks = range(worldSize).map((rank): Dealing => ({ order: 'padded', batchSize, rank, worldSize }));
        const counts = new Set(ranks.map((dealing) => batchesPerEpoch(samples, dealing)));
        assert.equal(counts.size, 1);
        const positions = ranks.flatMap((dealing) =>
          range(batchesPerEpoch(samples, dealing)).flatMap((index) => {
            assert.equal(batchSlots(samples, index, dealing), batchSize);
            return range(batchSize).map((slot) => firstPosition(index, dealing) + slot);
          }),
        );
        assert.deepEqual(
          positions.sort((a, b) => a - b),
          range(Math.ceil(samples / (batchSize * worldSize)) * batchSize * worldSize),
        );
      },
    ),
  );
});

test('a subset and its inverse part the data set', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 2, max: 30 }), fc.nat(29), (n, stride, o) => {
      const offset = o % stride;
      const [named, others] = [false, true].map((invert) => {
        const subset = { stride, offset, invert };
        return range(subsetSize(n, subset)).map((index) => subsetSample(index, subset));
      }) as [number[], number[]];
      assert.deepEqual(
        named,
        range(n).filter((i) => i % stride === offset),
      );
      assert.deepEqual(
        others,
        range(n).filter((i) => i % stride !== offset),
      );
    }),
  );
});

test('batches over all ranks hold each position once; training drops the last partial round', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom('shuffled' as const, 'blocks' as const, 'sequential' as const),
      (samples, batchSize, worldSize, order) => {
        const positions: number[] = [];
        for (let rank = 0; rank < worldSize; rank++) {
          const dealing: Dealing = { order, batchSize, rank, worldSize };
          for (let index = 0; index < batchesPerEpoch(samples, dealing); index++)
            for (let slot = 0; slot < batchSlots(samples, index, dealing); slot++) positions.push(firstPosition(index, dealing) + slot);
        }
        const round = batchSize * worldSize;
        const expected = isShuffled(order) ? Math.floor(samples / round) * round : samples;
        assert.deepEqual(
          positions.sort((a, b) => a - b),
          range(expected),
        );
      },
    ),
  );
});

const KNOWN_ORDER = [8, 11, 5, 0, 2, 9, 1, 10, 7, 6, 4, 3];
const KNOWN_BLOCKS = [4, 7, 6, 5, 11, 10, 2, 3, 9, 0, 8, 1];
