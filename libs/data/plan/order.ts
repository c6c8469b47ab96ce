/**
 * The order of an epoch: a permutation of the samples that is a pure function of (manifest hash, subset, seed, epoch). Any position can be computed
 * without the others. docs/epoch-order.md describes it for other implementations.
 *
 * The permutation is a generalised Feistel network with cycle walking (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002), with
 * Philox as the round function. A position is written as coordinates (x, y) of a grid with a × b ≥ samples cells. Each of sixteen rounds adds a keyed
 * function of one coordinate to the other, which is a bijection. If the resulting cell has no sample, the rounds are applied again.
 */
import { type PhiloxKey, philoxBlock, purposeKey } from '#random/philox.js';
import type { sampleOrders } from '#spec/words.js';

const ROUNDS = 16; // with ten rounds, some orders of five samples are visibly more frequent than others; not so with sixteen

/** Which samples of a data set are used. */
export interface Subset {
  /** Every stride-th sample, beginning with `offset`; 0 means all samples. */
  readonly stride: number;
  readonly offset: number;
  /** True to use the other samples: those that stride and offset do not select. */
  readonly invert: boolean;
}

/** Number of samples, out of `samples`, that are used. */
export function subsetSize(samples: number, { stride, offset, invert }: Subset): number {
  if (stride === 0) return samples;
  const named = offset >= samples ? 0 : Math.ceil((samples - offset) / stride);
  return invert ? samples - named : named;
}

/** The index in the data set of the subset's sample `index`. */
export function subsetSample(index: number, { stride, offset, invert }: Subset): number {
  if (stride === 0) return index;
  if (!invert) return offset + index * stride;
  // Between two selected samples lie stride − 1 others.
  return index < offset ? index : index + 1 + Math.floor((index - offset) / (stride - 1));
}

/** Maps a position to an index within the subset; both are in [0, samples). */
export type Permutation = (position: number) => number;

/** The keyed permutation of one epoch. `samples` must be at least 1. */
export function epochPermutation(manifest: string, subset: Subset, seed: bigint, epoch: number, samples: number): Permutation {
  return keyedPermutation(purposeKey(seed, `order/${orderName(manifest, subset)}`), epoch, 0, samples);
}

/** The text that names the ordered samples in the purpose of the keys. */
export const orderName = (manifest: string, { stride, offset, invert }: Subset): string =>
  `${manifest}/${stride}/${offset}/${invert ? 1 : 0}`;

/** One permutation for each key and (epoch, part), both of which are below 2^32. `samples` must be at least 1. */
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

/** `shuffled` and `blocks` are for training, `sequential` and `padded` for evaluation. See Plan.order in the proto. */
export type Order = (typeof sampleOrders.words)[number];

/** True for the orders that differ from epoch to epoch and drop the samples that do not fill a batch on every rank. */
export const isShuffled = (order: Order): boolean => order === 'shuffled' || order === 'blocks';

/** How the positions of an epoch are divided into batches. */
export interface Dealing {
  readonly order: Order;
  /** Number of samples in a batch of one rank. */
  readonly batchSize: number;
  readonly rank: number;
  readonly worldSize: number;
}

/**
 * Number of batches of one rank in an epoch. A round is one batch on every rank. `shuffled` and `blocks` have whole rounds only and drop the rest.
 * `padded` fills the last round up. `sequential` gives batch j of the data set to rank j mod worldSize; its last batch may be short.
 */
export function batchesPerEpoch(samples: number, { order, batchSize, rank, worldSize }: Dealing): number {
  if (isShuffled(order)) return Math.floor(samples / (batchSize * worldSize));
  if (order === 'padded') return Math.ceil(samples / (batchSize * worldSize));
  return Math.max(0, Math.ceil((Math.ceil(samples / batchSize) - rank) / worldSize));
}

/**
 * Position in the epoch, counted over all ranks, of a batch's first slot; slot s is at that position + s. Positions from `samples` on are padding.
 */
export function firstPosition(index: number, { batchSize, rank, worldSize }: Dealing): number {
  return (index * worldSize + rank) * batchSize;
}

/** Number of slots in a batch: batchSize, except for the last batch of a sequential epoch. */
export function batchSlots(samples: number, index: number, dealing: Dealing): number {
  const { order, batchSize } = dealing;
  return order === 'sequential' ? Math.min(batchSize, samples - firstPosition(index, dealing)) : batchSize;
}
