/**
 * One member's part of an exchange, as a program. The gradient is cut into as many slices as there are members. Each member receives, for its slice, the
 * subtrees that others hold, adds all of them in the order of the tree, and sends the sum to everybody. That is a reduce-scatter and an all-gather, in
 * pieces, so that sums and both directions of transfers overlap.
 */
import { createHash } from 'node:crypto';
import { partsOf, type Subtree } from '#engine/gradient-tree.js';
import { FIRST_OWN_TAG, type Instruction, type MeshProgram, MOST_FLOATS, type Place, pieces, SCRATCH } from './mesh-program.js';
import { type ExchangePlan, keyOf } from './plan.js';

/** Slices begin at multiples of this many floats, so that members write to different cache lines and pages. */
const GRAIN = 1024;
/** Floats that a member receives ahead of its sums, so that its memory is bounded for any number of subtrees. */
const MOST_AHEAD = 2 ** 22;
/** A slice is cut into so many pieces at least (unless they would be smaller than a grain), because nothing overlaps within one piece. */
const FEWEST_PIECES = 4;

/** Where each array of the program is: the subtrees that the member holds in the order of the plan, and then the sum. */
export function exchangeProgram(rank: number, plan: ExchangePlan): MeshProgram {
  const size = plan.held.length;
  const mine = plan.held[rank] ?? [];
  const sum: number = mine.length;
  const [scatter, gather] = tagsOf(plan);
  const nodes = plan.held.flatMap((held, owner) => held.map((node, index) => ({ node, owner, index })));
  const others = Array.from({ length: size - 1 }, (_, step) => (rank + 1 + step) % size);

  const instructions: Instruction[] = [];
  let transfers = 0;
  const begin = (kind: 'receive' | 'send', peer: number, tag: number, place: Place, count: number) => {
    instructions.push({ kind, peer, tag, place, count });
    return transfers++;
  };

  for (const peer of others)
    for (const { at, count } of piecesOf(plan, peer)) begin('receive', peer, gather, { array: sum, offset: at }, count);
  // In the order in which the peer receives them.
  for (const peer of others)
    for (const { at, count } of piecesOf(plan, peer))
      for (const array of mine.keys()) begin('send', peer, scatter, { array, offset: at }, count);

  const own = piecesOf(plan, rank);
  const incoming = nodes.filter(({ owner }) => owner !== rank);
  const most = own[0]?.count ?? 0;
  const ahead = aheadOf(incoming.length, most);
  const scratchOf = (piece: number, node: number): Place => ({ array: SCRATCH, offset: ((piece % ahead) * incoming.length + node) * most });
  // A sum of one node needs no scratch memory.
  const straight = nodes.length === 1;
  const temporaries = straight ? 0 : ahead * incoming.length * most;
  let mostTemporaries = 0;

  /** The transfers of each piece. */
  const expected: number[][] = [];
  const expect = (piece: number) => {
    const part = own[piece];
    if (part === undefined) return;
    const into = (node: number) => (straight ? { array: sum, offset: part.at } : scratchOf(piece, node));
    expected[piece] = incoming.map(({ owner }, node) => begin('receive', owner, scatter, into(node), part.count));
  };

  const add = (piece: number, at: number, count: number) => {
    const whole: Place = { array: sum, offset: at };
    let used = 0;
    const sumOf = (node: Subtree, into?: Place): Place => {
      const found = nodes.find((one) => keyOf(one.node) === keyOf(node));
      if (found !== undefined) return found.owner === rank ? { array: found.index, offset: at } : scratchOf(piece, incoming.indexOf(found));
      const [left, right] = (partsOf(node) ?? []).map((part) => sumOf(part)) as [Place, Place];
      // In place where the memory is scratch anyway, and so still in the cache.
      const place = into ?? [left, right].find(({ array }) => array === SCRATCH) ?? { array: SCRATCH, offset: temporaries + used++ * most };
      instructions.push({ kind: 'add', into: place, left, right, count });
      return place;
    };
    const value = sumOf({ first: 0, leaves: plan.leaves }, whole);
    if (value !== whole && !(straight && value.array === SCRATCH)) instructions.push({ kind: 'copy', into: whole, from: value, count });
    mostTemporaries = Math.max(mostTemporaries, used);
  };

  for (let piece = 0; piece < ahead; piece++) expect(piece);
  for (const [piece, { at, count }] of own.entries()) {
    for (const transfer of expected[piece] ?? []) instructions.push({ kind: 'wait', transfer });
    add(piece, at, count);
    for (const peer of others) begin('send', peer, gather, { array: sum, offset: at }, count);
    expect(piece + ahead);
  }
  return { instructions, scratch: temporaries + mostTemporaries * most, subnormals: plan.subnormals ?? 'flush' };
}

/** The pieces of a member's slice; all of the same size, except the last one. */
function piecesOf({ held, elements }: ExchangePlan, rank: number): { at: number; count: number }[] {
  const grains = Math.ceil(elements / GRAIN);
  const bound = (member: number) => Math.min(elements, Math.floor((grains * member) / held.length) * GRAIN);
  const [begin, end] = [bound(rank), bound(rank + 1)];
  const most = Math.max(GRAIN, Math.ceil((end - begin) / FEWEST_PIECES / GRAIN) * GRAIN);
  return pieces(begin, end, Math.min(MOST_FLOATS, most));
}

/** Number of pieces that are received ahead. */
const aheadOf = (incoming: number, count: number) =>
  incoming * count === 0 ? 1 : Math.max(2, Math.min(8, Math.floor(MOST_AHEAD / (incoming * count))));

/** Members with different plans never receive each other's values, but wait in vain. */
function tagsOf({ leaves, held, elements, subnormals = 'flush' }: ExchangePlan): [scatter: number, gather: number] {
  const plan = JSON.stringify([leaves, held.map((nodes) => nodes.map(keyOf)), elements, subnormals]);
  const tag = FIRST_OWN_TAG + 2 * (createHash('sha256').update(plan).digest().readUInt32LE() % 2 ** 28);
  return [tag, tag + 1];
}
