/** The envelopes of Connect streams: a byte of flags, the length as four bytes, big-endian, and that many bytes of JSON. */
export interface Envelope {
  /** True for the last one, which says how the stream ended. */
  readonly end: boolean;
  readonly json: unknown;
}

const HEADER_BYTES = 5;
const END_STREAM = 2;
/** A longer message is refused, so that a wrong length cannot make the page collect without end. */
const MAX_BYTES = 64 * 2 ** 20;

/** Takes the bytes of a stream as they come and returns the envelopes that are complete. */
export class EnvelopeReader {
  readonly #decoder = new TextDecoder();
  #rest = new Uint8Array(0);

  push(bytes: Uint8Array): Envelope[] {
    const all = this.#rest.length === 0 ? bytes : concat(this.#rest, bytes);
    const found: Envelope[] = [];
    let at = 0;
    while (all.length - at >= HEADER_BYTES) {
      const length = new DataView(all.buffer, all.byteOffset + at + 1, 4).getUint32(0);
      if (length > MAX_BYTES) throw new Error(`a message of the stream has ${length} bytes, more than ${MAX_BYTES}`);
      if (all.length - at < HEADER_BYTES + length) break;
      const body = all.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
      found.push({ end: (all[at]! & END_STREAM) !== 0, json: length === 0 ? {} : JSON.parse(this.#decoder.decode(body)) });
      at += HEADER_BYTES + length;
    }
    this.#rest = all.slice(at);
    return found;
  }

  /** Whether the stream has ended in the middle of an envelope. */
  get incomplete(): boolean {
    return this.#rest.length > 0;
  }
}

export function envelope(json: unknown): Uint8Array<ArrayBuffer> {
  const body = new TextEncoder().encode(JSON.stringify(json));
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  new DataView(bytes.buffer).setUint32(1, body.length);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
