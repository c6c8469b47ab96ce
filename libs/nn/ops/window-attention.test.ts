import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixtureTensors, withoutFixtures } from '../../../test/support/fixtures.js';
import { biasRows, windowRegions, windowTokens } from './window-attention.js';

test("bias rows and shifted windows' masks are the reference's buffers", { skip: withoutFixtures }, () => {
  const buffers = fixtureTensors('tables/swin_buffers.safetensors');
  const masks = buffers.names.filter((name) => name.includes('mask'));
  const [index] = buffers.names.filter((name) => !masks.includes(name));
  assert.ok(index !== undefined && masks.length >= 2, buffers.names.join(', '));
  assert.deepEqual([...biasRows(7)], [...buffers.get(index).data]);
  for (const name of masks) {
    const { shape, data } = buffers.get(name);
    const [windows = 0, size = 0] = shape;
    const side = Math.sqrt(windows) * 7;
    const regions = windowRegions({ height: side, width: side, window: 7, shift: 3 });
    const apart = Array.from({ length: windows * size * size }, (_, i) => {
      const window = Math.floor(i / size ** 2);
      const [row, column] = [Math.floor(i / size) % size, i % size];
      return regions[window * size + row] === regions[window * size + column] ? 0 : 1;
    });
    assert.deepEqual(apart, [...data], name);
  }
});

test('every token has one place in the windows; unshifted windows are squares of the map', () => {
  for (const shift of [0, 1, 3]) {
    const tokens = windowTokens({ height: 8, width: 12, window: 4, shift });
    assert.deepEqual(
      [...tokens].sort((a, b) => a - b),
      Array.from({ length: 96 }, (_, i) => i),
    );
    assert.equal(tokens[0], shift * 12 + shift);
  }
  assert.deepEqual([...windowTokens({ height: 4, width: 4, window: 2, shift: 0 })].slice(0, 8), [0, 1, 4, 5, 2, 3, 6, 7]);
});
