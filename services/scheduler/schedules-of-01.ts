/**
 * Finds the schedules that version 0.1 stored, which had no index, so that lists can name them. All objects of a project's schedules are listed once in
 * each process: the first list of a project with 10,000 schedules waits about a second for it.
 */
import { orAborted } from '#bounds/or-aborted.js';
import { RecentMap } from '#bounds/recent-map.js';
import { formatName, idPattern } from '#errors/resource-names.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import type { NamedEntry } from '#work/name-index.js';

/** Number of projects that are remembered. */
const keptProjects = 64;
/** Largest number of objects that are listed in one project. */
const maxScan = 100_000;

interface Scan {
  readonly ids: Set<string>;
  readonly done: Promise<void>;
}

export class SchedulesOf01 {
  readonly #scans = new RecentMap<string, Scan>(keptProjects);
  readonly #closing = new AbortController();

  constructor(private readonly store: ObjectStore) {}

  /** The entries and those of version 0.1, in the order of their ids. @throws errors of the store, and the signal's reason */
  async *merge(
    project: string,
    after: string | undefined,
    entries: AsyncIterable<NamedEntry>,
    signal: AbortSignal,
  ): AsyncGenerator<NamedEntry> {
    const { ids, done } = this.#scans.getOrMake(project, () => this.#scan(project));
    await orAborted(done, signal);
    const old = [...ids].filter((id) => after === undefined || id > after).sort();
    for await (const entry of entries) {
      while (old[0] !== undefined && old[0] < entry.id) yield { id: old.shift()!, uid: undefined };
      yield entry;
    }
    for (const id of old) yield { id, uid: undefined };
  }

  close(): void {
    this.#closing.abort(new Error('the service is closing'));
  }

  #scan(project: string): Scan {
    const ids = new Set<string>();
    const read = async (): Promise<void> => {
      let scanned = 0;
      for await (const { key } of listAll(this.store, `${formatName('project', { project })}/schedules/`, {
        signal: this.#closing.signal,
      })) {
        const [, , , id = '', folder] = key.split('/');
        if (folder === 'revisions' && idPattern.test(id)) ids.add(id);
        if (++scanned > maxScan) return;
      }
    };
    const done = read();
    // After an error, the next list tries again.
    done.catch(() => this.#scans.delete(project));
    return { ids, done };
  }
}
