/** Pools the memory into which files are read. New memory for every file would cause page faults and most of a replica's garbage collections. */

/** Largest number of unused bytes that are kept. */
const KEPT_BYTES = 48 << 20;
/** Groups of files differ in size, so new memory is larger than needed. */
const HEADROOM = 1.25;
const STEP = 1 << 20;

export class FileMemory {
  /** Oldest first. */
  readonly #free: Uint8Array[] = [];
  #freeBytes = 0;

  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Takes the smallest buffer that has `bytes`; its old content is not cleared. */
  take(bytes: number): Uint8Array {
    let best = -1;
    for (const [i, { byteLength }] of this.#free.entries())
      if (byteLength >= bytes && (best < 0 || byteLength < (this.#free[best] as Uint8Array).byteLength)) best = i;
    if (best < 0) return new Uint8Array(Math.ceil((HEADROOM * bytes) / STEP) * STEP);
    const [found] = this.#free.splice(best, 1) as [Uint8Array];
    this.#freeBytes -= found.byteLength;
    return found;
  }

  /** Gives memory back; nobody may use it afterwards. */
  give(memory: Uint8Array): void {
    this.#free.push(memory);
    this.#freeBytes += memory.byteLength;
    while (this.#freeBytes > KEPT_BYTES) this.#freeBytes -= (this.#free.shift() as Uint8Array).byteLength;
  }
}
