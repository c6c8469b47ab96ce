/** Stamps of millions of files that a listing told, as columns. */
import type { FileStamp } from './file-tree.js';

const COLUMNS = 3;

export class StampList {
  #numbers = new Float64Array(COLUMNS * 64);
  #length = 0;

  push({ sizeBytes, mtimeMs, ctimeMs }: FileStamp): void {
    const at = COLUMNS * this.#length++;
    if (at === this.#numbers.length) {
      const grown = new Float64Array(2 * at);
      grown.set(this.#numbers);
      this.#numbers = grown;
    }
    this.#numbers.set([sizeBytes, mtimeMs, ctimeMs], at);
  }

  at(index: number): FileStamp {
    const [sizeBytes = 0, mtimeMs = 0, ctimeMs = 0] = this.#numbers.subarray(COLUMNS * index, COLUMNS * (index + 1));
    return { sizeBytes, mtimeMs, ctimeMs };
  }
}
