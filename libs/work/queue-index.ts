/**
 * An index of work that may be waiting, so that claimants need not read every log. Entries are hints: they are added before the work can be claimed
 * and removed after it has ended. Only the log decides about the work's state.
 */
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { entrySegment, parseEntrySegment } from './name-index.js';

export interface QueueEntry {
  readonly project: string;
  readonly id: string;
  /** Which incarnation of the name: the work of an earlier one is other work. */
  readonly uid: string;
}

export class QueueIndex {
  constructor(
    private readonly store: ObjectStore,
    /** For example `run-queue`; the key of an entry is `<prefix>/<project>/<id and uid>`. */
    readonly prefix: string,
  ) {}

  async add(entry: QueueEntry, signal?: AbortSignal): Promise<void> {
    await this.store.put(this.#key(entry), Buffer.from('{}'), { contentType: 'application/json', signal });
  }

  async remove(entry: QueueEntry, signal?: AbortSignal): Promise<void> {
    await this.store.delete(this.#key(entry), { signal });
  }

  /** All entries, or those of one project, the oldest first by the store's clock. */
  async entries(signal?: AbortSignal, ofProject?: string): Promise<QueueEntry[]> {
    const found: { entry: QueueEntry; since: number }[] = [];
    const prefix = ofProject === undefined ? `${this.prefix}/` : `${this.prefix}/${ofProject}/`;
    for await (const { key, lastModified } of listAll(this.store, prefix, { signal })) {
      const [project, segment = ''] = key.slice(this.prefix.length + 1).split('/');
      const parsed = parseEntrySegment(segment);
      if (project !== undefined && parsed !== undefined) found.push({ entry: { project, ...parsed }, since: lastModified.getTime() });
    }
    return found.sort((a, b) => a.since - b.since).map(({ entry }) => entry);
  }

  #key({ project, id, uid }: QueueEntry): string {
    return `${this.prefix}/${project}/${entrySegment(id, uid)}`;
  }
}
