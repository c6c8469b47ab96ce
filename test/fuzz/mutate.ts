/** Damage to a file, keyed: the same seed and number give the same bytes. */
import { PhiloxDraws, purposeKey } from '#random/philox.js';

/** Bytes that decoders stumble over: ends of ranges, and markers of JPEG. */
const TELLING = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff, 0xd8, 0xd9, 0xda, 0xc0, 0xc2, 0xc4, 0xdb, 0xdd, 0xd0];

export class Damage {
  readonly #draws: PhiloxDraws;
  #at = 0;

  constructor(seed: bigint, file: number) {
    this.#draws = new PhiloxDraws(purposeKey(seed, `fuzz/${file}`));
  }

  /** A whole number below `end`. */
  below(end: number): number {
    return Math.min(end - 1, Math.floor(this.#draws.uniform(this.#at++) * end));
  }

  chance(share: number): boolean {
    return this.#draws.uniform(this.#at++) < share;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** One to eight changes, most of them near each other now and then; `other`: a file to take pieces of. */
  apply(file: Uint8Array, other: Uint8Array): Buffer<ArrayBuffer> {
    let bytes = Buffer.from(file);
    for (let changes = 1 + this.below(this.chance(0.5) ? 2 : 8); changes > 0; changes--) bytes = this.#change(bytes, other);
    return bytes;
  }

  #change(bytes: Buffer<ArrayBuffer>, other: Uint8Array): Buffer<ArrayBuffer> {
    if (bytes.length === 0) return Buffer.from([this.below(256)]);
    const at = this.below(bytes.length);
    const length = Math.min(bytes.length - at, 1 + this.below(this.chance(0.7) ? 8 : 300));
    switch (this.below(8)) {
      case 0:
        bytes[at]! ^= 1 << this.below(8);
        return bytes;
      case 1:
        bytes[at] = this.pick(TELLING);
        return bytes;
      case 2:
        // Lengths and sizes are big-endian words in most of these formats.
        if (at + 2 <= bytes.length) bytes.writeUInt16BE(this.pick([0, 1, 2, 255, 256, 0x7fff, 0xffff, bytes.length & 0xffff]), at);
        return bytes;
      case 3:
        for (let i = 0; i < length; i++) bytes[at + i] = this.below(256);
        return bytes;
      case 4:
        return bytes.subarray(0, at);
      case 5:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
      case 6:
        return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
      default: {
        const from = this.below(Math.max(1, other.length));
        return Buffer.concat([bytes.subarray(0, at), other.subarray(from, from + length), bytes.subarray(at)]);
      }
    }
  }
}
