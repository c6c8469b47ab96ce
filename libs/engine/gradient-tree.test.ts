import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { defaultLeaves, leafRanges, MOST_LEAVES, partsOf, type Subtree, siblingOf, subtreesWithin } from './gradient-tree.js';

test('leaves cover the micro-batches in order, and differ by one at most', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: MOST_LEAVES }), (microBatches, wanted) => {
      const leaves = Math.min(wanted, microBatches);
      const ranges = leafRanges(microBatches, leaves);
      assert.equal(ranges.length, leaves);
      assert.deepEqual([ranges[0]!.begin, ranges.at(-1)!.end], [0, microBatches]);
      for (const [k, { begin }] of ranges.entries()) if (k > 0) assert.equal(begin, ranges[k - 1]!.end);
      const sizes = ranges.map(({ begin, end }) => end - begin);
      assert.ok(Math.min(...sizes) >= 1 && Math.max(...sizes) - Math.min(...sizes) <= 1);
    }),
  );
  assert.deepEqual([1, 4, 16, 17, 100].map(defaultLeaves), [1, 4, 16, 16, 16]);
  for (const leaves of [0, 1.5, 4, 17, Number.NaN]) {
    assert.throws(() => leafRanges(3, leaves), /leaves: .* is not allowed for a step of 3 micro-batches; allowed: 1 to 3/);
  }
  assert.throws(() => leafRanges(100, 17), /allowed: 1 to 16/);
});

/** The tree as text: leaves by number. */
function shape(node: Subtree): string {
  const parts = partsOf(node);
  return parts === undefined ? `${node.first}` : `(${parts.map(shape).join(' ')})`;
}

test('the tree splits at the largest power of two below its leaves', () => {
  const trees = [1, 2, 3, 4, 5, 7].map((leaves) => shape({ first: 0, leaves }));
  assert.deepEqual(trees, ['0', '(0 1)', '((0 1) 2)', '((0 1) (2 3))', '(((0 1) (2 3)) 4)', '(((0 1) (2 3)) ((4 5) 6))']);
  assert.equal(shape({ first: 0, leaves: 13 }), '((((0 1) (2 3)) ((4 5) (6 7))) (((8 9) (10 11)) 12))');
});

test('every node but the root has a sibling, and what is no node has none', () => {
  for (let leaves = 1; leaves <= MOST_LEAVES; leaves++) {
    const nodes: Subtree[] = [];
    const walk = (node: Subtree): void => {
      nodes.push(node);
      const parts = partsOf(node);
      for (const part of parts ?? []) walk(part);
      if (parts === undefined) return;
      assert.deepEqual(siblingOf(leaves, parts[0]), { sibling: parts[1], isLeft: true });
      assert.deepEqual(siblingOf(leaves, parts[1]), { sibling: parts[0], isLeft: false });
    };
    walk({ first: 0, leaves });
    assert.equal(siblingOf(leaves, { first: 0, leaves }), undefined);
    for (let first = 0; first <= leaves; first++) {
      for (let size = 1; size <= leaves; size++) {
        if (nodes.some((node) => node.first === first && node.leaves === size)) continue;
        assert.equal(siblingOf(leaves, { first, leaves: size }), undefined);
      }
    }
  }
});

test('whoever computes contiguous leaves holds few sums: the largest nodes among them, which cover them', () => {
  for (let leaves = 1; leaves <= MOST_LEAVES; leaves++) {
    for (let begin = 0; begin < leaves; begin++) {
      for (let end = begin + 1; end <= leaves; end++) {
        const nodes = subtreesWithin(leaves, begin, end);
        let at = begin;
        for (const node of nodes) {
          assert.equal(node.first, at);
          at += node.leaves;
          const kin = siblingOf(leaves, node);
          const both = kin && [node, kin.sibling];
          assert.ok(!both?.every(({ first, leaves: size }) => first >= begin && first + size <= end), 'its parent is not within too');
        }
        assert.equal(at, end);
        assert.ok(nodes.length <= 2 * Math.ceil(Math.log2(leaves + 1)));
      }
    }
  }
  assert.deepEqual(subtreesWithin(16, 5, 11), [
    { first: 5, leaves: 1 },
    { first: 6, leaves: 2 },
    { first: 8, leaves: 2 },
    { first: 10, leaves: 1 },
  ]);
  for (const [begin, end] of [
    [1, 1],
    [-1, 2],
    [0, 5],
    [0.5, 2],
  ] as const) {
    assert.throws(() => subtreesWithin(4, begin, end), /are not a part of the 4 leaves of a step/);
  }
});
