/** Memory that files are read into, used again: fresh memory for each would cost its page faults and most garbage collections of a replica. */

/** What may be kept unused. */
const KEPT_BYTES = 48 << 20;
/** Groups of files differ in size: new memory has room for one that is larger. */
const HEADROOM = 1.25;
const STEP = 1 << 20;

export class FileMemory {
  /** Oldest first. */
  readonly #free: Uint8Array[] = [];
  #freeBytes = 0;

  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** The smallest that holds `bytes`; old content is not cleared. */
  take(bytes: number): Uint8Array {
    let best = -1;
    for (const [i, { byteLength }] of this.#free.entries())
      if (byteLength >= bytes && (best < 0 || byteLength < (this.#free[best] as Uint8Array).byteLength)) best = i;
    if (best < 0) return new Uint8Array(Math.ceil((HEADROOM * bytes) / STEP) * STEP);
    const [found] = this.#free.splice(best, 1) as [Uint8Array];
    this.#freeBytes -= found.byteLength;
    return found;
  }

  /** It must not be used afterwards, by nobody. */
  give(memory: Uint8Array): void {
    this.#free.push(memory);
    this.#freeBytes += memory.byteLength;
    while (this.#freeBytes > KEPT_BYTES) this.#freeBytes -= (this.#free.shift() as Uint8Array).byteLength;
  }
}
