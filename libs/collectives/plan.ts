import { MOST_LEAVES, partsOf, type Subtree } from '#engine/gradient-tree.js';

/** Who holds what before an exchange. */
export interface ExchangePlan {
  /** Number of leaves of the step. */
  readonly leaves: number;
  /** By rank: the finished subtrees that it holds. Every leaf is in exactly one of them; they need not be contiguous, and a rank may hold none. */
  readonly held: readonly (readonly Subtree[])[];
  /** Number of floats of a gradient. */
  readonly elements: number;
  /**
   * What sums do with numbers below the smallest normal one: as the threads of the native engine, which is the default, or as IEEE 754 and JavaScript
   * do. It must be what the run's executor does, because bits differ otherwise.
   */
  readonly subnormals?: 'flush' | 'keep';
}

/** Name of a subtree in maps. */
export const keyOf = ({ first, leaves }: Subtree): string => `${first}-${leaves}`;

/** @throws RangeError unless every leaf is in exactly one subtree of the tree */
export function checkPlan({ leaves, held, elements }: ExchangePlan): void {
  if (!Number.isInteger(leaves) || leaves < 1 || leaves > MOST_LEAVES)
    throw new RangeError(`leaves is ${leaves}, must be from 1 to ${MOST_LEAVES}`);
  if (!Number.isSafeInteger(elements) || elements < 1) throw new RangeError(`elements is ${elements}, must be at least 1`);
  const all = held.flat();
  const keys = new Set(all.map(keyOf));
  let found = 0;
  const visit = (node: Subtree): boolean => {
    if (!keys.has(keyOf(node))) return partsOf(node)?.every(visit) ?? false;
    found++;
    return true;
  };
  const complete = visit({ first: 0, leaves });
  // Nodes that are left over are inside others, held twice, or not in the tree.
  if (!complete || found !== all.length)
    throw new RangeError(`the members' subtrees ${all.map(keyOf).join(', ')} do not have each of the ${leaves} leaves exactly once`);
}
