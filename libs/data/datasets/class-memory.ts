/** What is known about the files of one class folder: by path, its stamp and what its bytes were. */
import type { FileStamp } from './file-tree.js';
import type { ImageFacts } from './image-facts.js';
import { type IndexMemory, sameStamp } from './index-memory.js';

/** path, size, mtime, ctime, width, height, SHA-256 in base64 */
type Row = readonly [string, number, number, number, number, number, string];

export class ClassMemory {
  readonly #known = new Map<string, Row>();
  #rows: Row[] = [];

  private constructor(
    private readonly memory: IndexMemory,
    private readonly className: string,
  ) {}

  static async open(memory: IndexMemory, className: string): Promise<ClassMemory> {
    const opened = new ClassMemory(memory, className);
    const rows = await memory.recall(className);
    for (const row of Array.isArray(rows) ? rows : []) if (isRow(row)) opened.#known.set(row[0], row);
    return opened;
  }

  /** What the file was when it was read, if it has not changed since. */
  find(path: string, stamp: FileStamp): ImageFacts | undefined {
    const row = this.#known.get(path);
    if (!row || !sameStamp(stamp, { sizeBytes: row[1], mtimeMs: row[2], ctimeMs: row[3] })) return undefined;
    this.#rows.push(row);
    return { width: row[4], height: row[5], sha256: Buffer.from(row[6], 'base64') };
  }

  add(path: string, { sizeBytes, mtimeMs, ctimeMs }: FileStamp, { width, height, sha256 }: ImageFacts): void {
    this.#rows.push([path, sizeBytes, mtimeMs, ctimeMs, width, height, Buffer.from(sha256).toString('base64')]);
  }

  /** Keeps what was found this time. With `all`, also what earlier runs found and this one has not come to. */
  async save({ all }: { all: boolean }): Promise<void> {
    const seen = new Set(this.#rows.map(([path]) => path));
    const rows = all ? [...this.#rows, ...[...this.#known.values()].filter(([path]) => !seen.has(path))] : this.#rows;
    await this.memory.remember(this.className, rows);
  }
}

function isRow(row: unknown): row is Row {
  if (!Array.isArray(row) || row.length !== 7) return false;
  const [path, ...numbers] = row;
  const hash = numbers.pop();
  return (
    typeof path === 'string' &&
    numbers.every((value) => typeof value === 'number' && value >= 0) &&
    typeof hash === 'string' &&
    Buffer.from(hash, 'base64').byteLength === 32
  );
}
