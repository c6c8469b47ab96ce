import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FileMemory } from './file-memory.js';

test('memory is used again, never by two at a time, and what lies unused is bounded', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ take: fc.boolean(), bytes: fc.integer({ min: 0, max: 24 << 20 }) }), { maxLength: 60 }), (actions) => {
      const files = new FileMemory();
      const used: Uint8Array[] = [];
      for (const { take, bytes } of actions) {
        if (!take && used.length > 0) files.give(used.splice(bytes % used.length, 1)[0] as Uint8Array);
        else {
          const memory = files.take(bytes);
          assert.ok(memory.byteLength >= bytes);
          assert.ok(!used.includes(memory));
          used.push(memory);
        }
        assert.ok(files.freeBytes <= 48 << 20);
      }
    }),
    { numRuns: 100 },
  );
});

test('groups of nearly one size find what the last ones left, and the smallest that fits', () => {
  const files = new FileMemory();
  const [small, large] = [files.take(1 << 20), files.take(8 << 20)];
  files.give(large);
  files.give(small);
  assert.equal(files.take(1.1 * 2 ** 20), small);
  assert.equal(files.take(1.1 * 2 ** 20), large);
});
