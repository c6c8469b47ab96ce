import type { Subtree } from '#engine/gradient-tree.js';

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
