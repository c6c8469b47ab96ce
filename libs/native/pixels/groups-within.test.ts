import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { groupsOf } from './render-samples.js';

test('groups of files keep their order and are as large as 64 files and 16 MiB allow, a larger file being one alone', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(400_000), fc.nat(20 << 20)), { maxLength: 300 }), (byteLengths) => {
      const planned = byteLengths.map((_, sample) => ({ sample }));
      const groups = groupsOf(planned, byteLengths);
      assert.deepEqual(groups.flat(), planned);
      const bytesOf = (group: typeof planned) => group.reduce((sum, { sample }) => sum + byteLengths[sample]!, 0);
      const fits = (group: typeof planned) => group.length <= 64 && bytesOf(group) <= 16 << 20;
      for (const [i, group] of groups.entries()) {
        assert.ok(group.length === 1 || fits(group));
        const following = groups[i + 1]?.[0];
        if (following) assert.ok(!fits([...group, following]));
      }
    }),
  );
});
