/** LZW as GIF and TIFF write it, to bytes. Every entry's prefix is an older entry, so that damaged codes end too. */

export interface LzwForm {
  /** Named in errors. */
  readonly format: 'gif' | 'tiff';
  /** Bits of a symbol; codes start with one more. */
  readonly symbolBits: number;
  /** Whether a code's bits begin at the most significant bit of a byte. */
  readonly highFirst: boolean;
}

const MAX_ENTRIES = 4096;

/**
 * The first `length` symbols.
 * @throws Error where the codes are damaged or end early
 */
export function unpackLzw(data: Uint8Array, length: number, { format, symbolBits, highFirst }: LzwForm): Uint8Array {
  const [clear, end] = [1 << symbolBits, (1 << symbolBits) + 1];
  // TIFF's codes grow one entry before they have to.
  const early = format === 'tiff' ? 1 : 0;
  const [prefix, suffix, stack] = [new Uint16Array(MAX_ENTRIES), new Uint8Array(MAX_ENTRIES), new Uint8Array(MAX_ENTRIES + 1)];
  const out = new Uint8Array(length);
  let [bits, next, previous, first] = [symbolBits + 1, end + 1, -1, 0];
  let [word, held, from, to] = [0, 0, 0, 0];
  while (to < length) {
    while (held < bits) {
      if (from >= data.length) throw new Error(`${format} ends inside its pixels`);
      const byte = data[from++] as number;
      word = highFirst ? (word << 8) | byte : word | (byte << held);
      held += 8;
    }
    held -= bits;
    const code = highFirst ? word >>> held : word & ((1 << bits) - 1);
    word = highFirst ? word & ((1 << held) - 1) : word >>> bits;
    if (code === clear) {
      [bits, next, previous] = [symbolBits + 1, end + 1, -1];
      continue;
    }
    if (code === end) throw new Error(`${format} ends inside its pixels`);
    if (code > next || (code === next && previous < 0) || (previous < 0 && code > end)) throw new Error(`${format} with damaged codes`);
    let depth = 0;
    let chased = code;
    if (code === next) {
      stack[depth++] = first;
      chased = previous;
    }
    while (chased > end) {
      stack[depth++] = suffix[chased] as number;
      chased = prefix[chased] as number;
    }
    first = chased;
    stack[depth++] = chased;
    while (depth > 0 && to < length) out[to++] = stack[--depth] as number;
    if (previous >= 0 && next < MAX_ENTRIES) {
      prefix[next] = previous;
      suffix[next++] = first;
      if (next === (1 << bits) - early && bits < 12) bits++;
    }
    previous = code;
  }
  return out;
}
