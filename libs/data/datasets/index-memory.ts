/**
 * What earlier indexing of a place found out, so that files that have not changed since are not read again: one small JSON file for each part
 * of a data set (a class folder, a tar shard), written when the part is done and when indexing is stopped. Nothing depends on it: a file that is
 * missing, damaged or of another version only costs reading.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileStamp } from './file-tree.js';

const FORMAT = 'dropstream.index-memory.v2';
/** Changed so shortly before it was read, a file could change again without another time stamp. */
const UNSETTLED_MS = 1000;

export class IndexMemory {
  private constructor(private readonly folder: string) {}

  /** `folder`: kept between runs, created when missing. `place`: whose memory it is. */
  static async open(folder: string, place: string): Promise<IndexMemory> {
    const own = join(folder, hash(place));
    await mkdir(own, { recursive: true });
    return new IndexMemory(own);
  }

  /** What `remember` was given for that part last; undefined when there is nothing usable. The caller checks the shape of `T`. */
  async recall(part: string): Promise<unknown> {
    try {
      const { format, part: found, facts } = JSON.parse(await readFile(this.#path(part), 'utf8')) as Record<string, unknown>;
      return format === FORMAT && found === part ? facts : undefined;
    } catch {
      return undefined;
    }
  }

  async remember(part: string, facts: unknown): Promise<void> {
    const path = this.#path(part);
    const temporary = `${path}.${randomUUID()}`;
    try {
      await writeFile(temporary, JSON.stringify({ format: FORMAT, part, facts }));
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  #path(part: string): string {
    return join(this.folder, `${hash(part)}.json`);
  }
}

/** Whether a file that was read at `readAtMs` can be told from a changed one by its stamp. */
export const isSettled = ({ mtimeMs, ctimeMs }: FileStamp, readAtMs: number): boolean =>
  Math.max(mtimeMs, ctimeMs) < readAtMs - UNSETTLED_MS;

export const sameStamp = (a: FileStamp, b: FileStamp): boolean =>
  a.sizeBytes === b.sizeBytes && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs;

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 40);
