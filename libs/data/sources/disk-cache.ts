/**
 * Bytes by name (64 hex digits, usually their own SHA-256) in files of a folder, which several processes on a machine share and which outlives
 * them. Best effort: what is missing is fetched again, and whoever reads checks the bytes and forgets those that are wrong.
 *
 * A file appears whole (written beside, then renamed) and goes by unlink, so that a reader that has it open is not disturbed. Names are spread
 * over groups, each with its share of the limit. A process looks at a group again when it has written a sixteenth of that share to it; where the
 * group is more than three quarters full, which leaves room for what three others write meanwhile, it takes every other file, from the oldest
 * on, until it is five eighths full: of a shuffled epoch, which comes back to no file
 * before it has seen all others, some stay that strict age would throw out just before they are needed.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isSha256, sha256Rule } from '#storage/content-hash.js';

export interface CacheCounts {
  readonly hits: number;
  readonly misses: number;
  readonly writtenBytes: number;
  readonly evictedBytes: number;
  /** Files that could not be written (a full disk). */
  readonly failures: number;
}

const GROUPS = 64;
const LEFTOVER_MS = 3_600_000;

export class DiskCache {
  readonly #counts = { hits: 0, misses: 0, writtenBytes: 0, evictedBytes: 0, failures: 0 };
  readonly #share: number;
  /** Bytes written to a group since this process looked at it; absent: never looked. */
  readonly #written = new Map<number, number>();
  readonly #looking = new Map<number, Promise<void>>();

  private constructor(
    private readonly folder: string,
    limitBytes: number,
  ) {
    this.#share = Math.floor(limitBytes / GROUPS);
  }

  /** `limitBytes`: of all files together, whoever wrote them. Creates the folder. @throws where it cannot be written */
  static async open(folder: string, limitBytes: number): Promise<DiskCache> {
    const root = join(folder, 'v1');
    await mkdir(join(root, 'new'), { recursive: true });
    await Promise.all(Array.from({ length: GROUPS }, (_, group) => mkdir(join(root, String(group)), { recursive: true })));
    const cache = new DiskCache(root, limitBytes);
    await cache.#sweep();
    return cache;
  }

  get counts(): CacheCounts {
    return { ...this.#counts };
  }

  /** `length` bytes from `offset`, or undefined where the cache does not have them. Unchecked. */
  async read(name: string, offset: number, length: number): Promise<Buffer | undefined> {
    try {
      const file = await open(this.#path(name), 'r');
      try {
        const bytes = Buffer.allocUnsafe(length);
        let done = 0;
        while (done < length) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0) break;
          done += bytesRead;
        }
        if (done === length) {
          this.#counts.hits++;
          return bytes;
        }
      } finally {
        await file.close();
      }
    } catch {
      // Not there, evicted a moment ago, or not readable: as good as not there.
    }
    this.#counts.misses++;
    return undefined;
  }

  /** Never throws: a cache that cannot be written is a slow one. Files larger than a sixteenth of a group (1/1024 of the limit) are not kept. */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength > this.#share / 16) return;
    const temporary = join(this.folder, 'new', `${process.pid}-${randomUUID()}`);
    try {
      await writeFile(temporary, bytes);
      await rename(temporary, this.#path(name));
      this.#counts.writtenBytes += bytes.byteLength;
    } catch {
      this.#counts.failures++;
      await rm(temporary, { force: true }).catch(() => {});
    }
    const group = groupOf(name);
    const written = this.#written.get(group);
    this.#written.set(group, (written ?? 0) + bytes.byteLength);
    if (written === undefined || written + bytes.byteLength > this.#share / 16) await this.#look(group);
  }

  async forget(name: string): Promise<void> {
    await unlink(this.#path(name)).catch(() => {});
  }

  /** Waits for the looks that are under way. */
  async close(): Promise<void> {
    await Promise.all(this.#looking.values());
  }

  #path(name: string): string {
    if (!isSha256(name)) throw new RangeError(`cache name ${JSON.stringify(name)}: ${sha256Rule} are allowed`);
    return join(this.folder, String(groupOf(name)), name);
  }

  #look(group: number): Promise<void> {
    let looking = this.#looking.get(group);
    if (!looking) {
      looking = this.#evict(group)
        // What is in the group is not known: the next write looks again.
        .catch(() => void this.#written.delete(group))
        .finally(() => this.#looking.delete(group));
      this.#looking.set(group, looking);
    }
    return looking;
  }

  async #evict(group: number): Promise<void> {
    this.#written.set(group, 0);
    const folder = join(this.folder, String(group));
    const files: { path: string; sizeBytes: number; mtimeMs: number }[] = [];
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      const found = await stat(path).catch(() => undefined);
      if (found?.isFile()) files.push({ path, sizeBytes: found.size, mtimeMs: found.mtimeMs });
    }
    let total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (total <= (this.#share * 3) / 4) return;
    files.sort((a, b) => a.mtimeMs - b.mtimeMs);
    const everyOther = [...files.filter((_, i) => i % 2 === 0), ...files.filter((_, i) => i % 2 === 1)];
    for (const { path, sizeBytes } of everyOther) {
      if (total <= (this.#share * 5) / 8) break;
      // Another process may have been faster.
      if (
        await unlink(path).then(
          () => true,
          () => false,
        )
      )
        this.#counts.evictedBytes += sizeBytes;
      total -= sizeBytes;
    }
  }

  /** Removes what a killed process left half written. */
  async #sweep(): Promise<void> {
    const folder = join(this.folder, 'new');
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      const found = await stat(path).catch(() => undefined);
      if (found && Date.now() - found.mtimeMs > LEFTOVER_MS) await rm(path, { force: true });
    }
  }
}

const groupOf = (name: string): number => Number.parseInt(name.slice(0, 2), 16) % GROUPS;
