/** Reuses the memory of payloads: a training run reads batches of one size for hours. */
import type { PayloadMemory } from './fetch-batch.js';

export class PayloadPool implements PayloadMemory {
  readonly #free: Uint8Array[] = [];

  constructor(
    /** Largest number of free payloads that are kept. */
    private readonly capacity: number,
  ) {}

  /** Returns exactly `bytes` bytes, at the start of their buffer. Old content is not cleared. */
  take(bytes: number): Uint8Array {
    const at = this.#free.findIndex((memory) => memory.byteLength === bytes);
    return at < 0 ? new Uint8Array(bytes) : (this.#free.splice(at, 1)[0] as Uint8Array);
  }

  give(memory: Uint8Array): void {
    this.#free.push(memory);
    if (this.#free.length > this.capacity) this.#free.shift();
  }
}
