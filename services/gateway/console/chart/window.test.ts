import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { panned, within, zoomed } from './window.js';

const full = { from: 0, to: 1000 };

test('zooming in and out keeps the place that it is about, and everything is no zoom', () => {
  const closer = zoomed(full, full, 0.5, 250);
  assert.deepEqual(closer, { from: 125, to: 625 });
  assert.equal(zoomed(closer!, full, 4, 250), undefined);
});

test('no window leaves the run, is empty, or grows by moving', () => {
  const any = fc.tuple(
    fc.double({ min: -500, max: 1500, noNaN: true }),
    fc.double({ min: -500, max: 1500, noNaN: true }),
    fc.double({ min: -2, max: 2, noNaN: true }),
  );
  fc.assert(
    fc.property(any, ([a, b, share]) => {
      const window = within({ from: Math.min(a, b), to: Math.max(a, b) }, full);
      if (window === undefined) return;
      assert.ok(window.from >= 0 && window.to > window.from);
      const moved = panned(window, full, share);
      if (moved !== undefined) assert.ok(moved.from >= 0 && moved.to <= Math.max(1000, window.to) + 1e-9);
    }),
  );
});
