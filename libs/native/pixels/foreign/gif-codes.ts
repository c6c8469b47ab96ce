/** LZW of GIF to palette indices. The library's own loops for ever on damaged codes. */

/** @param at of the size of the first codes; blocks follow. @throws Error where the codes are damaged or end early */
export function gifIndices(bytes: Uint8Array, at: number, pixels: number): Uint8Array {
  const firstBits = bytes[at] ?? 0;
  if (firstBits < 1 || firstBits > 11) throw new Error(`gif with first codes of ${firstBits} bits`);
  const data = joinedBlocks(bytes, at + 1);
  const [clear, end] = [1 << firstBits, (1 << firstBits) + 1];
  const [prefix, suffix, stack] = [new Uint16Array(4096), new Uint8Array(4096), new Uint8Array(4097)];
  const out = new Uint8Array(pixels);
  let [bits, next, previous, first] = [firstBits + 1, end + 1, -1, 0];
  let [word, held, from, to] = [0, 0, 0, 0];
  while (to < pixels) {
    while (held < bits) {
      if (from >= data.length) throw new Error('gif ends inside its pixels');
      word |= (data[from++] as number) << held;
      held += 8;
    }
    const code = word & ((1 << bits) - 1);
    word >>>= bits;
    held -= bits;
    if (code === clear) {
      [bits, next, previous] = [firstBits + 1, end + 1, -1];
      continue;
    }
    if (code === end) throw new Error('gif ends inside its pixels');
    if (code > next || (code === next && previous < 0) || (previous < 0 && code > end)) throw new Error('gif with damaged codes');
    let depth = 0;
    let chased = code;
    if (code === next) {
      stack[depth++] = first;
      chased = previous;
    }
    // An entry's prefix is always an older one, so this ends.
    while (chased > end) {
      stack[depth++] = suffix[chased] as number;
      chased = prefix[chased] as number;
    }
    first = chased;
    stack[depth++] = chased;
    while (depth > 0 && to < pixels) out[to++] = stack[--depth] as number;
    if (previous >= 0 && next < 4096) {
      prefix[next] = previous;
      suffix[next++] = first;
      if (next === 1 << bits && bits < 12) bits++;
    }
    previous = code;
  }
  return out;
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
