import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LARGE, threadsOf, tileFor, tileNamed, tileNames, workgroupBytes } from './tile-shapes.js';

/** What WebGPU guarantees on every adapter: maxComputeWorkgroupStorageSize and maxComputeInvocationsPerWorkgroup. */
const [MOST_BYTES, MOST_THREADS] = [16_384, 256];

for (const name of tileNames)
  test(`tile ${name} needs no more than every adapter has, and its threads share it evenly`, () => {
    const tile = tileNamed(name);
    const { rows, columns, depth, down, across } = tile;
    assert.equal(`${rows}x${columns}x${depth}@${threadsOf(tile)}`, name);
    assert.ok(workgroupBytes(tile) <= MOST_BYTES, `${workgroupBytes(tile)} bytes`);
    assert.ok(threadsOf(tile) <= MOST_THREADS);
    // Whole vectors of four a thread; blocks of four by four, and sums of whole parts of 1024, are loaded.
    for (const whole of [rows / 4 / down, columns / 4 / across, depth / 4, 1024 / depth]) assert.equal(whole, Math.floor(whole));
  });

test('a chosen tile is for matrices that fill it; all others have the tiles of a GPU that was not tuned', () => {
  const chosen = '128x64x16@128';
  assert.equal(tileFor(128, 64, chosen).name, chosen);
  assert.equal(tileFor(127, 64, chosen).name, LARGE);
  assert.equal(tileFor(1000, 63, chosen).name, LARGE);
  assert.equal(tileFor(1000, 32, chosen).name, '32x32x16@64');
  assert.equal(tileFor(1000, 1000, '32x32x16@64').name, '32x32x16@64');
  for (const [m, n] of [
    [1, 1],
    [33, 32],
    [33, 33],
    [64, 1000],
  ] as const)
    assert.equal(tileFor(m, n, LARGE).name, tileFor(m, n, undefined).name);
});
