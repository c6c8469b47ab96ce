/**
 * An epoch's order that keeps reads sequential. The list of samples is rotated by a keyed number of samples and cut into blocks of neighbours. The
 * blocks are permuted. Then each window of consecutive blocks is shuffled, so a reader needs the blocks of only one window at a time. The rotation
 * moves the cuts between blocks, and the samples that are left over at the end, from epoch to epoch. Like epochPermutation, this is a pure function
 * that can be computed for any position.
 */
import { philoxBlock, purposeKey } from '#random/philox.js';
import { keyedPermutation, orderName, type Permutation, type Subset } from './order.js';

export interface Blocks {
  /** Samples in a block, at least 1. */
  readonly blockSamples: number;
  /** Blocks in a window, at least 1. */
  readonly blocksMixed: number;
}

/** `samples` must be at least 1. */
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
  // Samples that are left over after the last block belong to the last window.
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

/** Number of samples by which an epoch is rotated. */
function turnOf(seed: bigint, name: string, epoch: number, samples: number): number {
  const words = new Uint32Array(4);
  philoxBlock(words, purposeKey(seed, `order-turn/${name}`), 0, 0, epoch, 0);
  return (words[0] as number) % samples;
}
