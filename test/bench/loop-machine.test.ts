/** What counts as a delay of the event loop's own, and what the machine has done. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownMaxMs } from './loop-machine.js';

const delay = { seconds: 1, maxMs: 60, p999Ms: 9, p99Ms: 1, p50Ms: 0.1 };
const late = (from: number, to: number) => ({ phase: 'steps', from, to });

test('a delay in which no core stood still is the own one', () => {
  assert.equal(ownMaxMs(delay, [late(100, 160)], []), 60);
  assert.equal(
    ownMaxMs(
      delay,
      [late(100, 160)],
      [
        { from: 40, to: 100 },
        { from: 160, to: 300 },
      ],
    ),
    60,
  );
});

test('the time in which a core stood still is taken off once, though both did', () => {
  const stalls = [
    { from: 110, to: 130 },
    { from: 90, to: 120 },
    { from: 115, to: 118 },
    { from: 150, to: 200 },
  ];
  assert.equal(ownMaxMs(delay, [late(100, 160)], stalls), 20);
});

test('the largest of what is left counts, not what is left of the largest', () => {
  const stalls = [{ from: 100, to: 155 }];
  assert.equal(ownMaxMs(delay, [late(100, 160), late(500, 525.04)], stalls), 25);
});

test('a phase without a long delay keeps its own', () => {
  assert.equal(ownMaxMs({ ...delay, maxMs: 4 }, [], [{ from: 0, to: 1000 }]), 4);
});
