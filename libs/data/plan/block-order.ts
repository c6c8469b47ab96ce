/**
 * An epoch's order that keeps reads sequential: the samples, turned by a keyed number, are cut into blocks of neighbours; the blocks are
 * permuted; each window of some successive blocks is shuffled as one. A reader that goes through an epoch needs the blocks of one window at a
 * time. Turning moves the cuts, and the samples that are left over at the end, from epoch to epoch. As epochPermutation, it is a pure function
 * that can be asked at any position.
 */
import { philoxBlock, purposeKey } from '#random/philox.js';
import { keyedPermutation, orderName, type Permutation, type Subset } from './order.js';

export interface Blocks {
  /** Samples of a block, at least 1. */
  readonly blockSamples: number;
  /** Blocks of a window, at least 1. */
  readonly blocksMixed: number;
}

/** `samples` ≥ 1. */
export function blockPermutation(
  manifest: string,
  subset: Subset,
  seed: bigint,
  epoch: number,
  samples: number,
  { blockSamples, blocksMixed }: Blocks,
): Permutation {
  const name = orderName(manifest, subset);
  const turn = turnOf(seed, name, epoch, samples);
  const blocks = Math.floor(samples / blockSamples);
  const blockAt = blocks > 0 ? keyedPermutation(purposeKey(seed, `order-blocks/${name}`), epoch, 0, blocks) : () => 0;
  const windowKey = purposeKey(seed, `order-window/${name}`);
  // What is left over after the last block belongs to the last window.
  const lastWindow = Math.max(0, Math.ceil(blocks / blocksMixed) - 1);
  let window: { readonly number: number; readonly at: Permutation } | undefined;
  return (position) => {
    const number = Math.min(Math.floor(position / (blocksMixed * blockSamples)), lastWindow);
    const start = number * blocksMixed * blockSamples;
    const inBlocks = Math.min(blocksMixed, blocks - number * blocksMixed) * blockSamples;
    if (window?.number !== number) {
      const size = number === lastWindow ? samples - start : inBlocks;
      window = { number, at: keyedPermutation(windowKey, epoch, number, size) };
    }
    const place = window.at(position - start);
    const turned =
      place < inBlocks
        ? blockAt(number * blocksMixed + Math.floor(place / blockSamples)) * blockSamples + (place % blockSamples)
        : blocks * blockSamples + (place - inBlocks);
    return (turned + turn) % samples;
  };
}

/** By how many samples an epoch is turned. */
function turnOf(seed: bigint, name: string, epoch: number, samples: number): number {
  const words = new Uint32Array(4);
  philoxBlock(words, purposeKey(seed, `order-turn/${name}`), 0, 0, epoch, 0);
  return (words[0] as number) % samples;
}
