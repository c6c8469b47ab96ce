import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RecentMap } from './recent-map.js';

test('it holds the entries that were used last, and no more than its limit', () => {
  const use = fc.record({ key: fc.nat(9), action: fc.constantFrom('get', 'set', 'make', 'delete') });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(use, { maxLength: 60 }), (limit, uses) => {
      const map = new RecentMap<number, string>(limit);
      // The model: keys, the one unused for longest first.
      let recent: number[] = [];
      for (const { key, action } of uses) {
        const known = recent.includes(key);
        const others = recent.filter((k) => k !== key);
        if (action === 'get') assert.equal(map.get(key), known ? `v${key}` : undefined);
        if (action === 'set') map.set(key, `v${key}`);
        if (action === 'make')
          assert.equal(
            map.getOrMake(key, () => `v${key}`),
            `v${key}`,
          );
        if (action === 'delete') map.delete(key);
        if (action === 'delete') recent = others;
        else if (known || action !== 'get') recent = [...others, key].slice(-limit);
        assert.equal(map.size, recent.length);
      }
      for (const key of [...recent]) assert.equal(map.get(key), `v${key}`);
    }),
  );
});
