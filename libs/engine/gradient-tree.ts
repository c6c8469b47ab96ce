/**
 * How a step is divided into leaves, and the tree in which the gradients of the leaves are added.
 *
 * A leaf is a contiguous group of whole micro-batches; its gradient begins at zero. For a step of V leaves, there is one fixed binary tree. For n >
 * 1, the sum of leaves [a, a + n) is the sum of a left part and a right part; the left part has as many leaves as the largest power of two below n,
 * and the right part has the rest. Every sum is one fp32 addition per element. So the bits of a step depend on V, which is a part of the run's spec.
 * They do not depend on which worker computed which leaves, on the order in which leaves arrived, or on the number of threads.
 * libs/native/vm/gradient-sums.h implements the same tree.
 */

/** Largest number of leaves of a step. It bounds the gradients held at once: log2(16) + 1 of them if leaves are accumulated in order. */
export const MOST_LEAVES = 16;

/** A node of the tree: the sum of `leaves` leaves beginning with leaf `first`. */
export interface Subtree {
  readonly first: number;
  readonly leaves: number;
}

/** Number of leaves of a step with this many micro-batches if the spec does not set it. */
export function defaultLeaves(microBatches: number): number {
  return Math.min(MOST_LEAVES, microBatches);
}

/**
 * The micro-batches [begin, end) of every leaf: contiguous, in order, and their numbers differ by at most one.
 * @throws RangeError unless `leaves` is a whole number from 1 to the smaller of MOST_LEAVES and `microBatches`
 */
export function leafRanges(microBatches: number, leaves: number): { begin: number; end: number }[] {
  const most = defaultLeaves(microBatches);
  if (!Number.isInteger(leaves) || leaves < 1 || leaves > most) {
    throw new RangeError(`leaves: ${leaves} is not allowed for a step of ${microBatches} micro-batches; allowed: 1 to ${most}`);
  }
  const begin = (leaf: number) => Math.floor((leaf * microBatches) / leaves);
  return Array.from({ length: leaves }, (_, leaf) => ({ begin: begin(leaf), end: begin(leaf + 1) }));
}

/** The two parts whose sum a node is; undefined for a single leaf. */
export function partsOf({ first, leaves }: Subtree): [left: Subtree, right: Subtree] | undefined {
  if (leaves === 1) return undefined;
  const left = 2 ** Math.floor(Math.log2(leaves - 1)); // exact for numbers this small
  return [
    { first, leaves: left },
    { first: first + left, leaves: leaves - left },
  ];
}

/**
 * The largest nodes of a tree of `leaves` leaves that lie within [begin, end), in order. A worker that computed these leaves holds and exchanges
 * these nodes.
 * @throws RangeError if the range is empty or exceeds the leaves
 */
export function subtreesWithin(leaves: number, begin: number, end: number): Subtree[] {
  if (!(Number.isInteger(begin) && Number.isInteger(end) && begin >= 0 && begin < end && end <= leaves)) {
    throw new RangeError(`leaves [${begin}, ${end}) are not a part of the ${leaves} leaves of a step`);
  }
  const within = (node: Subtree): Subtree[] => {
    const last = node.first + node.leaves;
    if (last <= begin || node.first >= end) return [];
    if (node.first >= begin && last <= end) return [node];
    return (partsOf(node) ?? []).flatMap(within);
  };
  return within({ first: 0, leaves });
}

/**
 * The other part of the sum that contains a node, and whether the node is the left part; undefined for the root, and if it is not a node of the tree.
 */
export function siblingOf(leaves: number, { first, leaves: size }: Subtree): { sibling: Subtree; isLeft: boolean } | undefined {
  let found: { sibling: Subtree; isLeft: boolean } | undefined;
  let at: Subtree = { first: 0, leaves };
  while (at.first !== first || at.leaves !== size) {
    const parts = partsOf(at);
    if (parts === undefined) return undefined;
    const isLeft = first < parts[1].first;
    found = { sibling: parts[isLeft ? 1 : 0], isLeft };
    at = parts[isLeft ? 0 : 1];
  }
  return found;
}
