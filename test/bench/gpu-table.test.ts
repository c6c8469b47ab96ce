import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KernelCall } from '#engine/executable.js';
import { deviceTable, deviceTimes, peakLines } from './gpu-table.js';

const device = {
  adapter: 'a card',
  software: true,
  peaks: [
    { peak: 'multiply-add' as const, isa: 'a card', type: 'fp32', gflops: 100 },
    { peak: 'bandwidth' as const, isa: 'a card', bytes: 1 << 20, gb_per_s: 10 },
  ],
};

const call = (kernel: string, samples: number, bytes: number, seconds: number, attributes = {}): KernelCall => {
  return { part: 'forward', kernel, attributes, samples, bytes, begin: 5, end: 5 + seconds };
};

test('a kernel is compared with what limits it: arithmetic or memory', () => {
  const product = { rows: 10, in: 100, out: 1000 }; // 2e6 operations a sample
  const times = deviceTimes(
    [
      call('linear', 50, 1e6, 2e-3, product), // 1e8 operations: 1 ms at best
      call('linear', 50, 40e6, 5e-3, product), // 40 MB: 4 ms at best
      call('add', 50, 10e6, 4e-3), // 1 ms at best
      call('optimizer', 0, 0, 1e-3),
    ],
    device,
    5e6,
  );
  assert.deepEqual(
    times.map(({ kernel, calls, flop, bytes, ofBest }) => [kernel, calls, flop, bytes, Math.round(100 * ofBest!)]),
    [
      ['linear', 2, 2e8, 41e6, 71],
      ['add', 1, 0, 10e6, 25],
      ['optimizer', 1, 0, 5e6, 50],
    ],
  );
  assert.match(deviceTable(times, 2), /linear +1 +3\.50 +58\.3 % +28\.6 +5\.9 +71 %/);
  assert.match(peakLines(device), /^a card, a software device.*\n.*fp32 100 GFLOP\/s\n.*1 MiB 10$/);
});
