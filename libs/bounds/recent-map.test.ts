import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RecentMap } from './recent-map.js';

test('a RecentMap keeps the most recently used entries, and no more than its limit', () => {
  const use = fc.record({ key: fc.nat(9), action: fc.constantFrom('get', 'set', 'make', 'delete') });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(use, { maxLength: 60 }), (limit, uses) => {
      const map = new RecentMap<number, string>(limit);
      // The model: keys in the order of their last use, oldest first.
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

test('with sizes, a RecentMap keeps as much as fits, and always the newest entry', () => {
  const map = new RecentMap<string, string>(10, ({ length }) => length);
  map.set('a', 'xxxx');
  map.set('b', 'xxxx');
  map.get('a');
  map.set('c', 'xx');
  assert.deepEqual([...map.keys()], ['b', 'a', 'c']);
  map.set('d', 'x');
  assert.deepEqual([...map.keys()], ['a', 'c', 'd']);
  map.set('a', 'x');
  map.set('e', 'xxxxxx');
  assert.deepEqual([...map.keys()], ['c', 'd', 'a', 'e']);
  map.set('f', 'x'.repeat(20));
  assert.deepEqual([...map.keys()], ['f']);
  map.delete('f');
  map.set('g', 'x'.repeat(10));
  assert.deepEqual([...map.keys()], ['g'], 'what was deleted counts no more');
});
