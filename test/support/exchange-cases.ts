/** Gradients of leaves, distributions of them over members, and the sum that every exchange of them must give. */
import type { ExchangePlan } from '#collectives/index.js';
import { GradientSums } from '#engine/gradient-sums.js';
import { partsOf, type Subtree, subtreesWithin } from '#engine/gradient-tree.js';

/** A function that gives whole numbers from 0 to n - 1, always the same ones for a seed. */
export function choices(seed: number): (n: number) => number {
  let state = seed | 0;
  return (n) => {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    return (state >>> 8) % n;
  };
}

/** Values of very different sizes, so that another order of additions gives other bits. */
function leafValues(leaf: number, elements: number): Float32Array {
  const values = new Float32Array(elements);
  for (let i = 0; i < elements; i++) {
    let x = Math.imul(leaf + 1, 0x9e3779b9) ^ Math.imul(i + 1, 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
    x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
    values[i] = (x ^ (x >>> 15)) * 1e-9 * (1 + (leaf % 3) * 100);
  }
  return values;
}

const add = (left: Float32Array, right: Float32Array) => left.map((value, i) => value + (right[i] as number));

/** The sum of a subtree, as executors without native code compute it. */
function subtreeSum({ first, leaves }: Subtree, elements: number): Float32Array {
  const sum = (node: Subtree): Float32Array => {
    const parts = partsOf(node);
    return parts === undefined ? leafValues(node.first, elements) : add(sum(parts[0]), sum(parts[1]));
  };
  return sum({ first, leaves });
}

/** The sum of all leaves by the engine's own class, leaf after leaf. */
export function wholeSum(leaves: number, elements: number): Float32Array {
  const sums = new GradientSums<Float32Array>(add, () => {});
  for (let first = 0; first < leaves; first++) sums.put(leaves, { first, leaves: 1 }, leafValues(first, elements));
  return sums.takeWhole();
}

/** As a group without losses has it: contiguous leaves, as evenly as possible. */
export function contiguous(members: number, leaves: number): Subtree[][] {
  const begin = (rank: number) => Math.floor((rank * leaves) / members);
  return Array.from({ length: members }, (_, rank) =>
    begin(rank) === begin(rank + 1) ? [] : subtreesWithin(leaves, begin(rank), begin(rank + 1)),
  );
}

/** Any distribution: `choose(n)` gives a whole number from 0 to n - 1. */
export function scattered(members: number, leaves: number, choose: (n: number) => number): Subtree[][] {
  const held: Subtree[][] = Array.from({ length: members }, () => []);
  const visit = (node: Subtree): void => {
    const parts = partsOf(node);
    if (parts === undefined || choose(4) === 0) held[choose(members)]?.push(node);
    else parts.forEach(visit);
  };
  visit({ first: 0, leaves });
  return held;
}

/** What a member brings to an exchange, by key. */
export function ownSums({ held, elements }: ExchangePlan, rank: number): Map<string, Float32Array> {
  return new Map((held[rank] ?? []).map((node) => [`${node.first}-${node.leaves}`, subtreeSum(node, elements)]));
}
