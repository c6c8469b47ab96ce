/** A list of paths, stored as UTF-8 bytes one after the other. Takes four bytes for each path besides the path itself. */
import { Uint32List } from './uint32-list.js';

export class PathList {
  readonly ends = new Uint32List();
  #bytes = Buffer.allocUnsafeSlow(1 << 16);
  #end = 0;

  get length(): number {
    return this.ends.length;
  }

  /** @throws RangeError if the paths take more than 4 GiB */
  push(path: string): void {
    const length = Buffer.byteLength(path, 'utf8');
    const end = this.#end + length;
    if (end >= 2 ** 32) throw new RangeError(`the paths of ${this.length} files are longer than 4 GiB`);
    if (end > this.#bytes.byteLength) {
      const grown = Buffer.allocUnsafeSlow(Math.max(end, 2 * this.#bytes.byteLength));
      this.#bytes.copy(grown, 0, 0, this.#end);
      this.#bytes = grown;
    }
    this.#bytes.write(path, this.#end, 'utf8');
    this.#end = end;
    this.ends.push(end);
  }

  /** `index` must be below `length`. */
  at(index: number): string {
    return this.#bytes.toString('utf8', index === 0 ? 0 : this.ends.at(index - 1), this.ends.at(index));
  }

  /** The bytes of all paths: a view that is valid until the next push. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#end);
  }
}
