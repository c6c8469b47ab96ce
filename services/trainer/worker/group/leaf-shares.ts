/** Who computes which leaves of a step. Nothing of it changes a bit of the run. */
import { type Subtree, subtreesWithin } from '#engine/index.js';

/** The leaves that each of `members` usually computes: contiguous, in order of their ranks, and their numbers differ by at most one. */
export function homeLeaves(leaves: number, members: number): number[][] {
  const begin = (rank: number): number => Math.floor((rank * leaves) / members);
  return Array.from({ length: members }, (_, rank) => range(begin(rank), begin(rank + 1)));
}

/** Leaves that a member is asked for at the same time: while it computes one, the next one is on its way. */
const ahead = 2;

/**
 * The leaves that each member is asked for next. A member gets its own ones first. When it has no more, it takes over what others have not been asked for
 * yet, from the one that has most of that: so the leaves of a slow or lost member move to those that are ready.
 * @param missing leaves that nobody was asked for @param loads number of leaves that each member was asked for and has not answered
 */
export function nextLeaves(missing: readonly number[], homes: readonly (readonly number[])[], loads: readonly number[]): number[][] {
  const ofNobody = missing.filter((leaf) => !homes.some((home) => home.includes(leaf)));
  const waiting = homes.map((home) => missing.filter((leaf) => home.includes(leaf)));
  const shares = homes.map((_, member) => (waiting[member] as number[]).splice(0, Math.max(0, ahead - (loads[member] as number))));
  for (;;) {
    const load = (member: number): number => (loads[member] as number) + (shares[member] as number[]).length;
    const members = homes.map((_, member) => member);
    const ready = members
      .filter((member) => load(member) < ahead && (waiting[member] as number[]).length === 0)
      .sort((a, b) => load(a) - load(b));
    const most = members.reduce(
      (best, member) => ((waiting[member] as number[]).length > (waiting[best] as number[]).length ? member : best),
      0,
    );
    const leaf = ofNobody.shift() ?? waiting[most]?.at(-1);
    if (ready[0] === undefined || leaf === undefined) return shares;
    if (waiting[most]?.at(-1) === leaf) waiting[most].pop();
    shares[ready[0]]?.push(leaf);
  }
}

/** The largest nodes of the tree of `leaves` leaves that these ones make up: what a member that has computed them holds. */
export function subtreesOf(leaves: number, held: Iterable<number>): Subtree[] {
  const sorted = [...held].sort((a, b) => a - b);
  const subtrees: Subtree[] = [];
  for (let at = 0; at < sorted.length; ) {
    let end = at + 1;
    while (end < sorted.length && sorted[end] === (sorted[end - 1] as number) + 1) end++;
    subtrees.push(...subtreesWithin(leaves, sorted[at] as number, (sorted[end - 1] as number) + 1));
    at = end;
  }
  return subtrees;
}

const range = (begin: number, end: number): number[] => Array.from({ length: end - begin }, (_, k) => begin + k);
