import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KernelCall } from '#engine/executable.js';
import { groupMilliseconds, kernelTimes, ownTimes, shapeOf } from './kernel-times.js';

const call = (kernel: KernelCall['kernel'], begin: number, end: number, rest: Partial<KernelCall> = {}): KernelCall => ({
  part: 'forward',
  kernel,
  attributes: {},
  samples: 0,
  bytes: 0,
  begin,
  end,
  ...rest,
});
const product = { attributes: { rows: 10, in: 4, out: 8, gelu: 1, bias: 1 }, samples: 3, bytes: 100 };
const calls = [
  call('zero_gradients', 0, 1, { part: 'update' }),
  call('pack_weight', 2, 3, { part: 'pack' }),
  call('linear', 1.5, 5, product),
  call('linear', 5, 7, product),
  call('gelu', 7, 7.5),
  call('optimizer', 8, 10, { part: 'update' }),
];

test('a product counts without the packing inside it, and packing for itself', () => {
  assert.deepEqual(
    ownTimes(calls).map(({ seconds }) => seconds),
    [1, 1, 2.5, 2, 0.5, 2],
  );
});

test('totals by kernel have calls, time, the time of as many of the fastest calls, arithmetic and bytes, the longest first', () => {
  const [linear, optimizer, ...rest] = kernelTimes(calls, ({ kernel }) => kernel, 77);
  assert.deepEqual(linear, { name: 'linear', calls: 2, seconds: 4.5, atBest: 4, flop: 2 * 3 * 2 * 10 * 4 * 8, bytes: 200 });
  assert.deepEqual(optimizer, { name: 'optimizer', calls: 1, seconds: 2, atBest: 2, flop: 0, bytes: 77 });
  assert.deepEqual(new Set(rest.map(({ name }) => name)), new Set(['zero_gradients', 'pack_weight', 'gelu']));
});

test('groups share out all of the time', () => {
  const groups = groupMilliseconds(calls, 2);
  assert.deepEqual(groups, { products: 2750, attention: 0, convolutions: 0, norms: 0, elementwise: 250, optimizer: 1500 });
});

test('shapes are told apart by what changes the work', () => {
  assert.equal(shapeOf(calls[2]!), 'linear rows 10 in 4 out 8 + gelu');
});
