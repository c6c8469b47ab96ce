import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce } from '#bounds/pieces.js';
import { trace } from '#graph/trace.js';
import { modelConfig } from '#nn/models/registry.js';
import { lower } from '../../native/lower.js';
import type { Precision } from '../../precision.js';
import { ALIGNMENT_FLOATS, planCalls } from '../calls.js';
import type { Tiles } from '../kernels/tile-shapes.js';
import { tilesOf, wordsOfTiles } from './tiles-in-fingerprint.js';

const sizes = { imageSize: 28, classes: 5 };
const graph = trace(modelConfig('vit_nano_p7', sizes), { channels: 3, ...sizes });

function words(tiles: Tiles, precision: Precision = 'fp32', samples = 16): string {
  const spec = lower(graph, samples, { precision, alignmentFloats: ALIGNMENT_FLOATS });
  return wordsOfTiles(spec, [...atOnce(planCalls(spec, spec.forward, tiles)), ...atOnce(planCalls(spec, spec.backward, tiles))], tiles);
}

test('a fingerprint names the products whose tiles are not the default, and only those of the program', () => {
  assert.equal(words({}), '');
  assert.equal(words({ 'linear.fp32': '64x64x16@64' }), '');
  const tiles: Tiles = { 'linear_weight_grad.fp32': '32x32x16@64', 'linear.fp32': '128x64x16@128', 'linear.bf16': '64x64x16@256' };
  assert.equal(words(tiles), ' linear.fp32=128x64x16@128 linear_weight_grad.fp32=32x32x16@64');
  assert.equal(words(tiles, 'bf16'), ' linear.bf16=64x64x16@256');
  // Three samples have 51 rows, which do not fill the tile.
  assert.equal(words({ 'linear.fp32': '128x64x16@128' }, 'fp32', 3), '');
});

const adapter = { name: 'Abacus 1/2', driver: 'beads 2.0 (A/B)', dawn: '0.6.2' };
const line = (chosen: string, { name, driver, dawn } = adapter) => `webgpu/fp32/${name} ${driver}/webgpu ${dawn}${chosen} 0123456789abcdef`;

test('a program gets the tiles of a fingerprint of the same adapter, driver and version; default ones, too', () => {
  assert.deepEqual(tilesOf(line(''), adapter), {});
  assert.deepEqual(tilesOf(line(' linear.fp32=128x64x16@128 linear_input_grad.bf16=32x32x16@64'), adapter), {
    'linear.fp32': '128x64x16@128',
    'linear_input_grad.bf16': '32x32x16@64',
  });
});

test('other devices, other engines and tiles that are no more give nothing', () => {
  assert.equal(tilesOf(line('', { ...adapter, driver: 'beads 3.0' }), adapter), undefined);
  assert.equal(tilesOf(line('', { ...adapter, dawn: '0.6.3' }), adapter), undefined);
  assert.equal(tilesOf(line('').replace('webgpu/', 'native/'), adapter), undefined);
  assert.equal(tilesOf(line(' linear.fp32=1x1x1@1'), adapter), undefined);
  assert.equal(tilesOf(line(' abacus'), adapter), undefined);
  assert.equal(tilesOf('', adapter), undefined);
});
