/** Pools the memory of batches. A new buffer of 20 MB for every batch would cause page faults and a garbage collection every few batches. */
import { BatchMemory } from '#data/client/batch-message.js';

export class MemoryPool {
  /** Oldest first. */
  readonly #free: BatchMemory[] = [];
  #freeBytes = 0;

  /** @param allowance returns how many unused bytes may be kept at the moment */
  constructor(private readonly allowance: () => number) {}

  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Takes a buffer; its old content is not cleared. */
  take(bytes: number): BatchMemory {
    const at = this.#free.findLastIndex((memory) => memory.bytes === bytes);
    const [found] = at < 0 ? [] : this.#free.splice(at, 1);
    if (found) this.#freeBytes -= bytes;
    this.trim();
    return found ?? new BatchMemory(bytes);
  }

  /** Gives memory back; it must not be used afterwards. */
  give(memory: BatchMemory): void {
    this.#free.push(memory);
    this.#freeBytes += memory.bytes;
    this.trim();
  }

  /** Drops the oldest buffers beyond the allowance. */
  trim(): void {
    const allowed = Math.max(0, this.allowance());
    while (this.#freeBytes > allowed) this.#freeBytes -= this.#free.shift()!.bytes;
  }
}
