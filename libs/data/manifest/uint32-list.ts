/** A growing list of unsigned 32-bit integers that takes four bytes for each. */
export class Uint32List {
  #values: Uint32Array;
  #length = 0;

  constructor(capacity = 1024) {
    this.#values = new Uint32Array(Math.max(1, capacity));
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const grown = new Uint32Array(2 * this.#length);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length++] = value;
  }

  /** `index` must be below `length`. */
  at(index: number): number {
    return this.#values[index] as number;
  }

  /** The values: a view that is valid until the next push. */
  get values(): Uint32Array {
    return this.#values.subarray(0, this.#length);
  }

  /** The bytes of the values (little endian, as on all supported machines): a view that is valid until the next push. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.#values.buffer, 0, 4 * this.#length);
  }
}
