/** The codes of a GIF's frame to palette indices. The library's own reader loops for ever on damaged codes. */
import { unpackLzw } from './lzw.js';

/** @param at of the size of the first codes; blocks follow. @throws Error where the codes are damaged or end early */
export function gifIndices(bytes: Uint8Array, at: number, pixels: number): Uint8Array {
  const symbolBits = bytes[at] ?? 0;
  if (symbolBits < 1 || symbolBits > 11) throw new Error(`gif with first codes of ${symbolBits} bits`);
  return unpackLzw(joinedBlocks(bytes, at + 1), pixels, { format: 'gif', symbolBits, highFirst: false });
}

function joinedBlocks(bytes: Uint8Array, start: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = start; at < bytes.length && bytes[at] !== 0; at += 1 + (bytes[at] as number))
    parts.push(bytes.subarray(at + 1, at + 1 + (bytes[at] as number)));
  return Buffer.concat(parts);
}

/** The row of the picture that a stored row is. */
export function* gifRows(height: number, interlaced: boolean): Generator<number> {
  const passes = interlaced
    ? [
        [0, 8],
        [4, 8],
        [2, 4],
        [1, 2],
      ]
    : [[0, 1]];
  for (const [start = 0, step = 1] of passes) for (let y = start; y < height; y += step) yield y;
}
