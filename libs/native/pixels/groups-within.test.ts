import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { groupsWithin } from './groups-within.js';

test('groups keep their order and are as large as 64 items and 16 MiB allow, a larger item being one alone', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(400_000), fc.nat(20 << 20)), { maxLength: 300 }), (bytes) => {
      const groups = groupsWithin(bytes, { maxBytes: 16 << 20, maxItems: 64 }).map(([from, to]) => bytes.slice(from, to));
      assert.deepEqual(groups.flat(), bytes);
      const fits = (group: readonly number[]) => group.length <= 64 && group.reduce((sum, one) => sum + one, 0) <= 16 << 20;
      for (const [i, group] of groups.entries()) {
        assert.ok(group.length === 1 || fits(group));
        const following = groups[i + 1]?.[0];
        if (following !== undefined) assert.ok(!fits([...group, following]));
      }
    }),
  );
});
