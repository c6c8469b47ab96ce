/** Writes IDX files (the format of MNIST) as streams: a big-endian header, then bytes. */
import { type FileHandle, open } from 'node:fs/promises';

const UNSIGNED_BYTE = 0x08;
const BUFFER_BYTES = 1 << 20;

/** An IDX file of items of equal shape. The creator must call close(), which fills in the number of items. */
export class IdxFile {
  #count = 0;
  #fill = 0;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  readonly #itemBytes: number;

  private constructor(
    private readonly file: FileHandle,
    itemShape: readonly number[],
  ) {
    this.#itemBytes = itemShape.reduce((a, b) => a * b, 1);
  }

  /** @param itemShape dimensions of one item: [] for labels, [28, 28] for images */
  static async create(path: string, itemShape: readonly number[]): Promise<IdxFile> {
    const file = await open(path, 'wx');
    const header = Buffer.alloc(4 + 4 * (itemShape.length + 1));
    header.set([0, 0, UNSIGNED_BYTE, itemShape.length + 1]);
    for (const [k, size] of itemShape.entries()) header.writeUInt32BE(size, 8 + 4 * k);
    await file.write(header);
    return new IdxFile(file, itemShape);
  }

  get count(): number {
    return this.#count;
  }

  async append(item: Uint8Array): Promise<void> {
    if (item.length !== this.#itemBytes) throw new Error(`the item has ${item.length} bytes, must have ${this.#itemBytes}`);
    if (this.#fill + item.length > BUFFER_BYTES) await this.#flush();
    this.#buffer.set(item, this.#fill);
    this.#fill += item.length;
    this.#count++;
  }

  /** Writes the remaining items and their number, and syncs the file to disk. */
  async close(): Promise<void> {
    await this.#flush();
    const count = Buffer.alloc(4);
    count.writeUInt32BE(this.#count);
    await this.file.write(count, 0, 4, 4);
    await this.file.sync();
    await this.file.close();
  }

  async #flush(): Promise<void> {
    if (this.#fill === 0) return;
    await this.file.write(this.#buffer, 0, this.#fill, null);
    this.#fill = 0;
  }
}
