/**
 * The order of an epoch: a permutation of the samples that is a pure function of (manifest hash, subset, seed, epoch) and can be asked
 * at any position without computing the others. docs/epoch-order.md says it for those who implement it again.
 *
 * A position is written as (x, y) in a grid of a × b ≥ samples cells; sixteen rounds add a keyed value of one coordinate to the other, each a
 * bijection; a cell outside the samples is walked on to the next (a generalised Feistel network with cycle walking,
 * Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002), with Philox as the round function.
 */
import { type PhiloxKey, philoxBlock, purposeKey } from '#random/philox.js';
import type { sampleOrders } from '#spec/words.js';

const ROUNDS = 16; // ten leave the orders of five samples visibly uneven, sixteen do not

/** Which samples of a data set take part. */
export interface Subset {
  /** 0: all. */
  readonly stride: number;
  readonly offset: number;
  /** True: the samples that stride and offset do not name. */
  readonly invert: boolean;
}

/** How many of `samples` take part. */
export function subsetSize(samples: number, { stride, offset, invert }: Subset): number {
  if (stride === 0) return samples;
  const named = offset >= samples ? 0 : Math.ceil((samples - offset) / stride);
  return invert ? samples - named : named;
}

/** The sample of the data set that is number `index` of the subset. */
export function subsetSample(index: number, { stride, offset, invert }: Subset): number {
  if (stride === 0) return index;
  if (!invert) return offset + index * stride;
  // Between two named samples lie stride − 1 others.
  return index < offset ? index : index + 1 + Math.floor((index - offset) / (stride - 1));
}

/** position → number within the subset, both in [0, samples). */
export type Permutation = (position: number) => number;

/** The keyed permutation of one epoch. `samples` ≥ 1. */
export function epochPermutation(manifest: string, subset: Subset, seed: bigint, epoch: number, samples: number): Permutation {
  return keyedPermutation(purposeKey(seed, `order/${orderName(manifest, subset)}`), epoch, 0, samples);
}

/** What an order is of, as its keys name it. */
export const orderName = (manifest: string, { stride, offset, invert }: Subset): string =>
  `${manifest}/${stride}/${offset}/${invert ? 1 : 0}`;

/** One permutation for each key and (epoch, part), both below 2^32. `samples` ≥ 1. */
export function keyedPermutation(key: PhiloxKey, epoch: number, part: number, samples: number): Permutation {
  const a = Math.ceil(Math.sqrt(samples));
  const b = Math.ceil(samples / a);
  const words = new Uint32Array(4);
  const once = (cell: number): number => {
    let x = Math.floor(cell / b);
    let y = cell % b;
    for (let round = 0; round < ROUNDS; round += 2) {
      philoxBlock(words, key, y, round, epoch, part);
      x = (x + ((words[0] as number) % a)) % a;
      philoxBlock(words, key, x, round + 1, epoch, part);
      y = (y + ((words[0] as number) % b)) % b;
    }
    return x * b + y;
  };
  return (position) => {
    let cell = once(position);
    while (cell >= samples) cell = once(cell);
    return cell;
  };
}

/** shuffled and blocks: for training; sequential and padded: for evaluation. See Plan.order in the proto. */
export type Order = (typeof sampleOrders.words)[number];

/** True for the orders that differ from epoch to epoch and drop what does not fill a round of batches. */
export const isShuffled = (order: Order): boolean => order === 'shuffled' || order === 'blocks';

/** How positions of an epoch are dealt to batches. */
export interface Dealing {
  readonly order: Order;
  /** Samples in a batch of one rank. */
  readonly batchSize: number;
  readonly rank: number;
  readonly worldSize: number;
}

/**
 * Batches of one rank in an epoch. Shuffled and blocks: whole rounds of batchSize · worldSize only (drop-last). Padded: whole rounds, the last
 * one filled up. Sequential: batch j of the data set goes to rank j mod worldSize, the last one may be short.
 */
export function batchesPerEpoch(samples: number, { order, batchSize, rank, worldSize }: Dealing): number {
  if (isShuffled(order)) return Math.floor(samples / (batchSize * worldSize));
  if (order === 'padded') return Math.ceil(samples / (batchSize * worldSize));
  return Math.max(0, Math.ceil((Math.ceil(samples / batchSize) - rank) / worldSize));
}

/** Position in the epoch of a batch's first slot, over all ranks; slot s is at that position + s. Padding: positions from `samples` on. */
export function firstPosition(index: number, { batchSize, rank, worldSize }: Dealing): number {
  return (index * worldSize + rank) * batchSize;
}

/** Slots of a batch: batchSize but for the last of a sequential epoch. */
export function batchSlots(samples: number, index: number, dealing: Dealing): number {
  const { order, batchSize } = dealing;
  return order === 'sequential' ? Math.min(batchSize, samples - firstPosition(index, dealing)) : batchSize;
}
