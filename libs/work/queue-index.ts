/**
 * An index of work that may be waiting, so that claimants need not read every log. Entries are hints: they are added before the work can be claimed
 * and removed after it has ended. Only the log decides about the work's state.
 */
import { listAll, type ObjectStore } from '#storage/object-store.js';

export interface QueueEntry {
  readonly project: string;
  readonly id: string;
}

export class QueueIndex {
  constructor(
    private readonly store: ObjectStore,
    /** For example `queue/runs`; the key of an entry is `<prefix>/<project>/<id>`. */
    readonly prefix: string,
  ) {}

  async add({ project, id }: QueueEntry, signal?: AbortSignal): Promise<void> {
    await this.store.put(this.#key(project, id), Buffer.from('{}'), { contentType: 'application/json', signal });
  }

  async remove({ project, id }: QueueEntry, signal?: AbortSignal): Promise<void> {
    await this.store.delete(this.#key(project, id), { signal });
  }

  /** All entries, the oldest first by the store's clock. */
  async entries(signal?: AbortSignal): Promise<QueueEntry[]> {
    const found: { entry: QueueEntry; since: number }[] = [];
    for await (const { key, lastModified } of listAll(this.store, `${this.prefix}/`, { signal })) {
      const [project, id] = key.slice(this.prefix.length + 1).split('/');
      if (project !== undefined && id !== undefined) found.push({ entry: { project, id }, since: lastModified.getTime() });
    }
    return found.sort((a, b) => a.since - b.since).map(({ entry }) => entry);
  }

  #key(project: string, id: string): string {
    return `${this.prefix}/${project}/${id}`;
  }
}
