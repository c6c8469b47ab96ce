/**
 * How a step is cut into leaves, and the tree in which their gradients are added.
 *
 * A leaf is a contiguous group of whole micro-batches; its gradient begins at zero. A step of V leaves has one fixed binary tree over them: the
 * sum of leaves [a, a + n) is, for n > 1, the sum of its left part, the largest power of two below n leaves, and of its right part, the rest.
 * Every sum is one fp32 addition an element. So the bits of a step depend on V, which is a part of the run's spec, and not on which worker
 * computed which leaves, in what order they came, or how many threads it had. libs/native/vm/gradient-sums.h is the same tree.
 */

/** A step has at most this many leaves, so that few gradients are held at once: log2(16) + 1 of them where leaves come in order. */
export const MOST_LEAVES = 16;

/** A node of the tree: the sum of `leaves` leaves from `first` on. */
export interface Subtree {
  readonly first: number;
  readonly leaves: number;
}

/** Leaves of a step of so many micro-batches, where the spec says nothing. */
export function defaultLeaves(microBatches: number): number {
  return Math.min(MOST_LEAVES, microBatches);
}

/**
 * The micro-batches [begin, end) of every leaf: contiguous, in order, their numbers differing by one at most.
 * @throws RangeError where `leaves` is no whole number from 1 to the smaller of MOST_LEAVES and `microBatches`
 */
export function leafRanges(microBatches: number, leaves: number): { begin: number; end: number }[] {
  const most = defaultLeaves(microBatches);
  if (!Number.isInteger(leaves) || leaves < 1 || leaves > most) {
    throw new RangeError(`leaves: ${leaves} is not allowed for a step of ${microBatches} micro-batches; allowed: 1 to ${most}`);
  }
  const begin = (leaf: number) => Math.floor((leaf * microBatches) / leaves);
  return Array.from({ length: leaves }, (_, leaf) => ({ begin: begin(leaf), end: begin(leaf + 1) }));
}

/** The two parts that a node is the sum of; undefined of a single leaf. */
export function partsOf({ first, leaves }: Subtree): [left: Subtree, right: Subtree] | undefined {
  if (leaves === 1) return undefined;
  const left = 2 ** Math.floor(Math.log2(leaves - 1)); // exact for such small numbers
  return [
    { first, leaves: left },
    { first: first + left, leaves: leaves - left },
  ];
}

/**
 * The largest nodes of a tree of `leaves` leaves that lie within [begin, end), in order: what whoever computed these leaves holds, and exchanges.
 * @throws RangeError where the range is empty or beyond the leaves
 */
export function subtreesWithin(leaves: number, begin: number, end: number): Subtree[] {
  if (!(Number.isInteger(begin) && Number.isInteger(end) && begin >= 0 && begin < end && end <= leaves)) {
    throw new RangeError(`leaves [${begin}, ${end}) are no part of the ${leaves} of a step`);
  }
  const within = (node: Subtree): Subtree[] => {
    const last = node.first + node.leaves;
    if (last <= begin || node.first >= end) return [];
    if (node.first >= begin && last <= end) return [node];
    return (partsOf(node) ?? []).flatMap(within);
  };
  return within({ first: 0, leaves });
}

/** The other part of the sum that a node enters, and whether the node is the left one; undefined of the root, or where it is no node. */
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
