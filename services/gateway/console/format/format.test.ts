import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enumWord } from '#spec/json-words.js';
import { bytes, count, duration, roughly, significant } from './numbers.js';
import { ago, clock } from './time.js';
import { hasEnded, idOf, projectOf, stateWord } from './words.js';

test('durations are short and never lose an hour', () => {
  for (const [seconds, text] of [
    [0.42, '0.4s'],
    [9.96, '10s'],
    [59.6, '1m 00s'],
    [185, '3m 05s'],
    [3600, '1h 00m'],
    [47 * 3600 + 120, '47h 02m'],
    [49 * 3600, '2d 1h'],
    [Number.NaN, '–'],
    [undefined, '–'],
  ] as const)
    assert.equal(duration(seconds), text);
});

test('numbers', () => {
  assert.deepEqual([count(1234.4), count(Number.NaN)], ['1,234', '–']);
  assert.deepEqual([roughly(5_717_416), roughly(22_000), roughly(9)], ['5.72 M', '22 k', '9']);
  assert.deepEqual([bytes(999), bytes(149_000_000)], ['999 B', '149 MB']);
  assert.deepEqual(
    [0, 0.41239, 4e-3, 1e-6, 1.234e-5, 12_345_678, Number.NaN, Number.POSITIVE_INFINITY].map((value) => significant(value)),
    ['0', '0.4124', '0.004', '1e-6', '1.23e-5', '1.23e7', 'NaN', '∞'],
  );
});

test('times of other days say which', () => {
  const now = new Date(2026, 10, 30, 12, 0, 0);
  assert.equal(clock(new Date(2026, 10, 30, 11, 59, 1), now), '11:59:01');
  assert.equal(clock(new Date(2026, 10, 29, 11, 59, 1), now), '29 Nov 11:59:01');
  assert.equal(ago(new Date(2026, 10, 30, 11, 57, 0), now), '3m 00s ago');
});

test('words of names', () => {
  assert.equal(stateWord('RUN_STATE_RUNNING'), 'running');
  assert.equal(stateWord('RUN_STATE_NEW'), 'unknown');
  assert.equal(hasEnded('cancelled'), true);
  assert.equal(hasEnded('paused'), false);
  assert.equal(idOf('projects/p/runs/r'), 'r');
  assert.equal(projectOf('projects/p/runs/r'), 'projects/p');
  assert.deepEqual(['DROP_MODE_EARLY', 'ENGINE_WEBGPU', 'DROP_KIND_DROP_PATH', 'DROP_CUTOFF_ADAPTIVE', 'vit_tiny'].map(enumWord), [
    'early',
    'webgpu',
    'drop_path',
    'adaptive',
    'vit_tiny',
  ]);
});
