import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DigestAnswer } from '#protocol/dropstream/v1/group.js';
import { compareDigests, sameWeights } from './compare-digests.js';
import type { Participant } from './participant.js';

const [leader, a, b] = ['leader', 'a', 'b'].map((worker) => ({ worker }) as Participant) as [Participant, Participant, Participant];
const digest = (...sums: number[]): DigestAnswer => ({ step: 5n, sha256: sums.map((sum) => Buffer.alloc(32, sum)) });
const parameters = ['head', 'body'];

test('weights are the same if all tensors are', () => {
  assert.ok(sameWeights(digest(1, 2), digest(1, 2)));
  assert.ok(!sameWeights(digest(1, 2), digest(1, 3)));
  assert.ok(!sameWeights(digest(1, 2), digest(1)));
});

test('a member that differs is named with its tensors, and the leader is right unless most others agree on something else', () => {
  const compared = (answers: readonly (readonly [Participant, DigestAnswer])[]) => compareDigests(5, new Map(answers), leader, parameters);
  assert.deepEqual(
    compared([
      [leader, digest(1, 2)],
      [a, digest(1, 3)],
    ]),
    [{ member: a, tensors: ['body'] }],
  );
  assert.throws(
    () =>
      compared([
        [leader, digest(1, 2)],
        [a, digest(1, 3)],
        [b, digest(1, 3)],
      ]),
    /the weights of the leader, leader, differ after step 5 .*: body$/,
  );
});
