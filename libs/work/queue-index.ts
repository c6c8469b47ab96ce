/**
 * An index of work that may be waiting or has an owner, so that nobody need read every log. Entries are hints: they are added before the work can be
 * claimed and removed after it has ended. Only the log decides about the work's state. While work has an owner, the owner writes its entry again with
 * every heartbeat, so that a listing shows which owners are alive (owner-watch.ts).
 */
import { listAll, ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { entrySegment, parseEntrySegment } from './name-index.js';
import type { QueueEntry } from './queue-entry.js';
import { QueueHints } from './queue-hints.js';

export type { QueueEntry } from './queue-entry.js';

/** An entry as a listing shows it. */
export interface ListedEntry {
  readonly entry: QueueEntry;
  /** Differs whenever the entry was written again. */
  readonly version: string;
  /** True if an owner wrote it. Those of version 0.2 write none. */
  readonly touched: boolean;
}

const untouched = Buffer.from('{}');

export class QueueIndex {
  readonly hints: QueueHints;

  constructor(
    private readonly store: ObjectStore,
    /** For example `run-queue`; the key of an entry is `<prefix>/<project>/<id and uid>`. */
    readonly prefix: string,
  ) {
    this.hints = new QueueHints(store, `${prefix.replace(/-queue$/, '')}-waiting`);
  }

  async add(entry: QueueEntry, signal?: AbortSignal): Promise<void> {
    await this.store.put(this.#key(entry), untouched, { contentType: 'application/json', signal });
  }

  /** Shows that the owner with this fence is alive. */
  async touch(entry: QueueEntry, fence: number, signal?: AbortSignal): Promise<void> {
    await this.store.put(this.#key(entry), Buffer.from(JSON.stringify({ fence })), { contentType: 'application/json', signal });
  }

  /** The fence of the owner that touched the entry last; undefined if none did. */
  async touchedBy(entry: QueueEntry, signal?: AbortSignal): Promise<number | undefined> {
    try {
      const { bytes } = await this.store.get(this.#key(entry), { maxBytes: 1024, signal });
      const { fence } = JSON.parse(bytes.toString()) as { readonly fence?: unknown };
      return typeof fence === 'number' ? fence : undefined;
    } catch (error) {
      if (error instanceof ObjectNotFound || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  async remove(entry: QueueEntry, signal?: AbortSignal): Promise<void> {
    await this.store.delete(this.#key(entry), { signal });
  }

  /** All entries, or those of one project, the oldest first by the store's clock. */
  async entries(signal?: AbortSignal, ofProject?: string): Promise<QueueEntry[]> {
    return (await this.listed(signal, ofProject)).map(({ entry }) => entry);
  }

  /** The same with what the listing says of them. */
  async listed(signal?: AbortSignal, ofProject?: string): Promise<ListedEntry[]> {
    const found: (ListedEntry & { readonly since: number })[] = [];
    const prefix = ofProject === undefined ? `${this.prefix}/` : `${this.prefix}/${ofProject}/`;
    for await (const { key, lastModified, sizeBytes } of listAll(this.store, prefix, { signal })) {
      const [project, segment = ''] = key.slice(this.prefix.length + 1).split('/');
      const parsed = parseEntrySegment(segment);
      if (project === undefined || parsed === undefined) continue;
      const since = lastModified.getTime();
      found.push({ entry: { project, ...parsed }, version: `${since}/${sizeBytes}`, touched: sizeBytes > untouched.length, since });
    }
    return found.sort((a, b) => a.since - b.since);
  }

  #key({ project, id, uid }: QueueEntry): string {
    return `${this.prefix}/${project}/${entrySegment(id, uid)}`;
  }
}
