/** A shard read once from beginning to end, in large pieces, and hashed on the way. */
import { createHash } from 'node:crypto';
import type { FileTree } from './file-tree.js';
import type { TarBytes } from './tar.js';

const PIECE_BYTES = 4 << 20;

export class ShardWindow implements TarBytes {
  readonly #hash = createHash('sha256');
  /** The shard's bytes from `#start` on, as far as they have been read. */
  #held: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(
    private readonly tree: FileTree,
    private readonly path: string,
    readonly sizeBytes: number,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** A view, valid until the next read. `offset` not below that of the last read. @throws Error when the file has become shorter */
  async read(offset: number, length: number): Promise<Uint8Array> {
    await this.#skipTo(offset);
    if (this.#end < offset + length) await this.#more(Math.max(offset + length - this.#end, PIECE_BYTES));
    return this.#held.subarray(offset - this.#start, offset - this.#start + length);
  }

  /** SHA-256 of the whole shard, in hex; reads what is left. */
  async finish(): Promise<string> {
    await this.#skipTo(this.sizeBytes);
    return this.#hash.digest('hex');
  }

  get #end(): number {
    return this.#start + this.#held.byteLength;
  }

  async #skipTo(offset: number): Promise<void> {
    if (offset < this.#start) throw new RangeError(`byte ${offset} has been passed`);
    while (this.#end < offset) {
      this.#drop(this.#end);
      await this.#more(PIECE_BYTES);
    }
    this.#drop(offset);
  }

  #drop(before: number): void {
    this.#held = this.#held.subarray(before - this.#start);
    this.#start = before;
  }

  async #more(wanted: number): Promise<void> {
    const length = Math.min(wanted, this.sizeBytes - this.#end);
    const piece = await this.tree.read(this.path, this.#end, length, this.signal);
    if (piece.byteLength !== length || length === 0) throw new Error('it became shorter while it was read');
    for (let at = 0; at < length; at += PIECE_BYTES) this.#hash.update(piece.subarray(at, at + PIECE_BYTES));
    this.#held = this.#held.byteLength === 0 ? piece : Buffer.concat([this.#held, piece]);
  }
}
