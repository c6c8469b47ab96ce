/** Files that are read at many places over time: kept open, the least recently used one closed when there are too many. */

interface Entry<T> {
  readonly opened: Promise<T>;
  users: number;
  evicted: boolean;
}

export class OpenFiles<T extends { close(): Promise<void> }> {
  /** In order of last use. */
  readonly #entries = new Map<string, Entry<T>>();

  constructor(
    private readonly openFile: (name: string) => Promise<T>,
    /** Files open at a time, but for those in use. */
    private readonly capacity: number,
  ) {}

  /** Runs `work` on the file, which stays open as long. A failed open is forgotten, so that the next use tries again. */
  async use<R>(name: string, work: (file: T) => Promise<R>): Promise<R> {
    const entry = this.#entry(name);
    entry.users++;
    try {
      return await work(await entry.opened);
    } catch (error) {
      await entry.opened.catch(() => this.#entries.get(name) === entry && this.#entries.delete(name));
      throw error;
    } finally {
      entry.users--;
      if (entry.evicted && entry.users === 0) await closed(entry);
    }
  }

  /** The next use opens the file anew. */
  async forget(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    if (!entry) return;
    this.#entries.delete(name);
    await this.#evict(entry);
  }

  async close(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.map((entry) => this.#evict(entry)));
  }

  #entry(name: string): Entry<T> {
    const known = this.#entries.get(name);
    const entry = known ?? { opened: this.openFile(name), users: 0, evicted: false };
    entry.opened.catch(() => {});
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    for (const [oldest, { users }] of this.#entries) {
      if (this.#entries.size <= this.capacity) break;
      if (users === 0 && oldest !== name) void this.forget(oldest);
    }
    return entry;
  }

  async #evict(entry: Entry<T>): Promise<void> {
    entry.evicted = true;
    if (entry.users === 0) await closed(entry);
  }
}

async function closed<T extends { close(): Promise<void> }>(entry: Entry<T>): Promise<void> {
  await entry.opened.then((file) => file.close()).catch(() => {});
}
