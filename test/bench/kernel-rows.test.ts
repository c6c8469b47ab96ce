import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bandwidthAt, compare, type KernelRow, type Peak, parseLines } from './kernel-rows.js';

const peaks: Peak[] = [
  { peak: 'multiply-add', isa: 'avx2', type: 'fp32', gflops: 100 },
  { peak: 'multiply-add', isa: 'avx512', type: 'bf16', gflops: 400 },
  { peak: 'multiply-add', isa: 'amx', type: 'bf16', operands: 'L2', gflops: 3000 },
  { peak: 'multiply-add', isa: 'amx', type: 'bf16', operands: 'registers', gflops: 4000 },
  { peak: 'bandwidth', isa: 'avx2', bytes: 16_384, gb_per_s: 200 },
  { peak: 'bandwidth', isa: 'avx2', bytes: 65_536, gb_per_s: 100 },
  { peak: 'bandwidth', isa: 'avx2', bytes: 262_144, gb_per_s: 40 },
];
const row: KernelRow = { isa: 'avx2', kernel: 'gelu', shape: '8', type: 'fp32', us: 1, gflops: 50, gb_per_s: 75, bytes: 32_768 };

test('bandwidth is taken at the size of the operands, level beyond the measured sizes', () => {
  assert.equal(bandwidthAt(peaks, 'avx2', 1), 200);
  assert.ok(Math.abs(bandwidthAt(peaks, 'avx2', 32_768)! - 150) < 1e-9);
  assert.equal(bandwidthAt(peaks, 'avx2', 65_536), 100);
  assert.equal(bandwidthAt(peaks, 'avx2', 1e9), 40);
  assert.equal(bandwidthAt(peaks, 'portable', 1), undefined);
});

test('a kernel is compared with the peaks of its own instruction set and type', () => {
  const { ofMultiplyAdds, ofBandwidth } = compare(row, peaks);
  assert.ok(Math.abs(ofMultiplyAdds! - 0.5) < 1e-9 && Math.abs(ofBandwidth! - 0.5) < 1e-9);
  assert.equal(compare({ ...row, isa: 'avx512' }, peaks).ofMultiplyAdds, undefined);
  assert.equal(compare({ ...row, gflops: 0, bytes: 0 }, peaks).ofMultiplyAdds, undefined);
  assert.equal(compare({ ...row, gflops: 0, bytes: 0 }, peaks).ofBandwidth, undefined);
});

test('the limit of tiles is what they reach on registers, not with operands from a cache', () => {
  assert.equal(compare({ ...row, isa: 'amx', type: 'bf16', gflops: 2000 }, peaks).ofMultiplyAdds, 0.5);
});

test('lines that are no objects are kept apart', () => {
  assert.deepEqual(parseLines('avx2\n{"a": 1}\n\nmore\n{"a": 2}\n'), { rows: [{ a: 1 }, { a: 2 }], other: ['avx2', 'more'] });
});
