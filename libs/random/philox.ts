/**
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a pure function from
 * (128-bit counter, 64-bit key) to four 32-bit words.
 *
 * Every random value in Dropstream is a function of its purpose: the key contains the seed and the purpose, and the counter selects the value. There
 * is no stream with state, so any value can be drawn again, anywhere and in any order.
 */

/** Two 32-bit words, unsigned. */
export interface PhiloxKey {
  readonly k0: number;
  readonly k1: number;
}

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;

/** Upper 32 bits of the product of two unsigned 32-bit integers, as a signed 32-bit integer. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >>> 16); // below 2^32: exact in a double
  const cross = aLow * bHigh + (middle % 0x10000); // below 2^32
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000)) | 0;
}

/** Writes the four words of counter (c0, c1, c2, c3) under `key` to `out[at … at + 3]`, unsigned. */
export function philoxBlock(out: Uint32Array, key: PhiloxKey, c0: number, c1: number, c2: number, c3: number, at = 0): void {
  let x0 = c0 | 0;
  let x1 = c1 | 0;
  let x2 = c2 | 0;
  let x3 = c3 | 0;
  let k0 = key.k0 | 0;
  let k1 = key.k1 | 0;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, x0);
    const low0 = Math.imul(MULTIPLIER_0, x0);
    const high1 = multiplyHigh(MULTIPLIER_1, x2);
    const low1 = Math.imul(MULTIPLIER_1, x2);
    x0 = high1 ^ x1 ^ k0;
    x1 = low1;
    x2 = high0 ^ x3 ^ k1;
    x3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  out[at] = x0;
  out[at + 1] = x1;
  out[at + 2] = x2;
  out[at + 3] = x3;
}

/** The seed itself as a key, low word first. Used by the engine's masks (libs/engine/executable.ts, StepRandomness). */
export function seedKey(seed: bigint): PhiloxKey {
  const bits = BigInt.asUintN(64, seed);
  return { k0: Number(bits & 0xffffffffn), k1: Number(bits >> 32n) };
}

/** FNV-1a 32 of the UTF-8 text. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * The key for one purpose ('init', 'order', 'crop', …) and seed: the first two words of the block with counter (FNV-1a of the purpose, its length in
 * UTF-16 units, 'purp', 'drop') under the seed's own key. Different purposes have unrelated values.
 */
export function purposeKey(seed: bigint, purpose: string): PhiloxKey {
  const out = new Uint32Array(4);
  philoxBlock(out, seedKey(seed), fnv1a32(purpose), purpose.length, 0x70757270, 0x64726f70);
  return { k0: out[0] as number, k1: out[1] as number };
}

/** Uniform in [0, 1) with 53 random bits, from two words. */
export function uniform53(first: number, second: number): number {
  return ((first >>> 5) * 0x4000000 + (second >>> 6)) * 2 ** -53;
}

/** Uniform strictly inside (0, 1), symmetric about ½, with 52 random bits; suits a quantile function. */
export function uniformOpen(first: number, second: number): number {
  return ((first >>> 6) * 0x4000000 + (second >>> 6) + 0.5) * 2 ** -52;
}

/**
 * The values at (·, c1, c2, c3) under a key, by index, in any order; the last block is cached. Word i is word i & 3 of the block at counter c0 = i >>
 * 2; uniform i uses words 2i and 2i + 1.
 */
export class PhiloxDraws {
  readonly #block = new Uint32Array(4);
  #cached = -1;

  constructor(
    private readonly key: PhiloxKey,
    private readonly c1 = 0,
    private readonly c2 = 0,
    private readonly c3 = 0,
  ) {}

  /** Unsigned 32-bit word `index` (below 2^34). */
  word(index: number): number {
    const block = Math.floor(index / 4);
    if (block !== this.#cached) {
      philoxBlock(this.#block, this.key, block, this.c1, this.c2, this.c3);
      this.#cached = block;
    }
    return this.#block[index % 4] as number;
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform(index: number): number {
    return uniform53(this.word(2 * index), this.word(2 * index + 1));
  }

  /** Uniform in (0, 1), 52 bits. */
  uniformOpen(index: number): number {
    return uniformOpen(this.word(2 * index), this.word(2 * index + 1));
  }
}

/**
 * The integer threshold for "kept with probability 1 − p": a word x is kept if x < keepThreshold(p) = ⌈(1 − p)·2³²⌉. p in [0, 1]; p = 0 gives 2³²
 * (all kept).
 */
export function keepThreshold(dropRate: number): number {
  return Math.ceil((1 - dropRate) * 0x100000000);
}
