import assert from 'node:assert/strict';
import { test } from 'node:test';
import { homeLeaves, nextLeaves, subtreesOf } from './leaf-shares.js';

test('every leaf has one home, and homes differ by at most one leaf', () => {
  for (let leaves = 1; leaves <= 16; leaves++)
    for (let members = 1; members <= leaves; members++) {
      const homes = homeLeaves(leaves, members);
      assert.deepEqual(
        homes.flat(),
        Array.from({ length: leaves }, (_, leaf) => leaf),
      );
      const sizes = homes.map(({ length }) => length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1 && Math.min(...sizes) >= 1);
    }
});

test('members get their own leaves first, two at a time', () => {
  assert.deepEqual(nextLeaves([0, 1, 2, 3, 4, 5, 6, 7], homeLeaves(8, 2), [0, 0]), [
    [0, 1],
    [4, 5],
  ]);
  assert.deepEqual(nextLeaves([2, 3, 6, 7], homeLeaves(8, 2), [1, 2]), [[2], []]);
});

test('who has finished takes over what a slow member was not asked for', () => {
  assert.deepEqual(nextLeaves([6, 7], homeLeaves(8, 2), [0, 2]), [[7, 6], []]);
  assert.deepEqual(nextLeaves([7], homeLeaves(8, 2), [1, 2]), [[7], []]);
  assert.deepEqual(nextLeaves([], homeLeaves(8, 2), [0, 2]), [[], []]);
});

test('the leaves of a lost member go to those that have least to do', () => {
  // Member 1 of three is lost: leaves 2 to 4 have no home any more.
  const [first, , third] = homeLeaves(8, 3) as [number[], number[], number[]];
  assert.deepEqual(nextLeaves([2, 3, 4], [first, third], [0, 0]), [[2, 4], [3]]);
  assert.deepEqual(nextLeaves([2, 3, 4], [first, third], [2, 1]), [[], [2]]);
});

test('what a member holds are the largest nodes of the tree', () => {
  assert.deepEqual(subtreesOf(8, [4, 5, 6, 7]), [{ first: 4, leaves: 4 }]);
  assert.deepEqual(subtreesOf(8, [3, 0, 7, 1, 6]), [
    { first: 0, leaves: 2 },
    { first: 3, leaves: 1 },
    { first: 6, leaves: 2 },
  ]);
  assert.deepEqual(subtreesOf(13, [12, 8, 9, 10, 11]), [{ first: 8, leaves: 5 }]);
  assert.deepEqual(subtreesOf(8, []), []);
});
