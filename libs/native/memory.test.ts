import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { allocateMemory } from './memory.js';

test('memory is zero, writable and of the size asked for', () => {
  for (const bytes of [0, 1, 4095, 5 << 20]) {
    const memory = allocateMemory(bytes);
    assert.ok(memory instanceof ArrayBuffer);
    assert.equal(memory.byteLength, bytes);
    const view = new Uint8Array(memory);
    assert.ok(view.every((byte) => byte === 0));
    view.fill(7);
    assert.ok(view.every((byte) => byte === 7));
  }
});

test('what is not a size is refused', () => {
  for (const bytes of [-1, 0.5, Number.NaN, 2 ** 41, '1' as never]) {
    assert.throws(() => allocateMemory(bytes), { name: 'TypeError', message: /bytes must be a/ }, String(bytes));
  }
});

test('memory is freed with its buffer', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const size = 64 << 20;
  const before = process.memoryUsage.rss();
  for (let k = 0; k < 20; k++) {
    new Uint8Array(allocateMemory(size)).fill(1);
    collect();
    await delay(1); // finalizers run in a turn of their own
  }
  // Another thread gives it back to the system.
  const grown = () => process.memoryUsage.rss() - before;
  for (let waited = 0; grown() >= 4 * size && waited < 5000; waited += 10) await delay(10);
  assert.ok(grown() < 4 * size, `${grown() >> 20} MiB more`);
});
