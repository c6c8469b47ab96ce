import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lineChart, niceTicks } from './line-chart.js';

test('a chart without values says so', () => {
  assert.match(lineChart({ title: 'x', xTitle: 'epoch', series: [], format: String }), /no values/);
});

test('a line ends where its data ends', () => {
  const svg = lineChart({
    title: 'x',
    xTitle: 't',
    yMin: 0,
    yMax: 10,
    xMax: 4,
    series: [
      {
        name: 's',
        color: 1,
        points: [
          [0, 0],
          [4, 10],
        ],
      },
    ],
    format: String,
  });
  assert.match(svg, /d="M56\.0 212\.0L506\.0 14\.0"/);
});

test('ticks are round and enclose the values', () => {
  assert.deepEqual(niceTicks(0, 1), [0, 0.5, 1]);
  assert.deepEqual(niceTicks(71.3, 88.6), [70, 75, 80, 85, 90]);
  for (const [low, high] of [
    [0, 0.1],
    [3, 3],
    [-5, 12],
    [0.001, 0.0042],
  ] as const) {
    const ticks = niceTicks(low, high);
    assert.ok(ticks[0]! <= low && ticks.at(-1)! >= high && ticks.length <= 9, `${low} ${high}: ${ticks}`);
  }
});
