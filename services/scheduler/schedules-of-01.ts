/**
 * Finds the schedules that version 0.1 stored, which had no index, so that lists can name them. All objects of a project's schedules are listed once in
 * each process, which takes seconds for 10,000 schedules.
 *
 * A long look that finds nothing leaves a mark in the store. Where the mark is, lists do not wait for the look of their process: it goes on behind them, and
 * what it finds shows in the lists that come after it. So the mark only says whether waiting is worth while, and is never trusted further: if version
 * 0.1 stores a schedule after it was written, or two processes write and remove it at once, then only the first seconds of a process are without that
 * schedule, and the look that finds it removes the mark. Calls that name the schedule do not depend on any of this.
 */
import { orAborted } from '#bounds/or-aborted.js';
import { quietly } from '#bounds/quietly.js';
import { RecentMap } from '#bounds/recent-map.js';
import { formatName, idPattern } from '#errors/resource-names.js';
import { listAll, type ObjectStore, objectExists } from '#storage/object-store.js';
import type { NamedEntry } from '#work/name-index.js';

/** Number of projects that are remembered. */
const keptProjects = 64;
/** Largest number of objects that are listed in one project. */
const maxScan = 100_000;
/** A look at fewer objects is quick: it leaves no mark, so that lists of projects that do not exist write nothing. */
export const leastMarked = 1000;

interface Scan {
  readonly ids: Set<string>;
  /** What the first lists wait for. */
  readonly ready: Promise<void>;
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
    const { ids, ready } = this.#scans.getOrMake(project, () => this.#begin(project));
    await orAborted(ready, signal);
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

  #begin(project: string): Scan {
    const ids = new Set<string>();
    const mark = markOf(project);
    const { signal } = this.#closing;
    const begin = async (): Promise<{ readonly done: Promise<void>; readonly isMarked: boolean }> => {
      const isMarked = await objectExists(this.store, mark, { signal });
      return { done: quietly(this.#scan(project, ids, isMarked)), isMarked };
    };
    const begun = begin();
    // After an error, the next list tries again.
    begun.then(({ done }) => done).catch(() => this.#scans.delete(project));
    return { ids, ready: begun.then(({ done, isMarked }) => (isMarked ? undefined : done)) };
  }

  async #scan(project: string, ids: Set<string>, isMarked: boolean): Promise<void> {
    const { signal } = this.#closing;
    let scanned = 0;
    for await (const { key } of listAll(this.store, `${formatName('project', { project })}/schedules/`, { signal })) {
      const [, , , id = '', folder] = key.split('/');
      if (folder === 'revisions' && idPattern.test(id)) ids.add(id);
      if (++scanned > maxScan) break;
    }
    // Without it, the next process waits: that is all.
    if (ids.size > 0 && isMarked) await this.store.delete(markOf(project), { signal }).catch(() => undefined);
    else if (ids.size === 0 && !isMarked && scanned >= leastMarked)
      await this.store.put(markOf(project), Buffer.from('{}'), { contentType: 'application/json', signal }).catch(() => undefined);
  }
}

export const markOf = (project: string): string => `${formatName('project', { project })}/none-of-01/schedules`;
