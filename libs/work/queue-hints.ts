/**
 * What idle workers look at: one small object for each piece of work that waits, and for each run that wants more members. Their names say all that a
 * worker needs to choose, so that one request shows 1,000 of them and no log is read for work that others do.
 *
 * A hint is written after the record that makes the work wait, and removed after the one that claims it. Every process may lose one or leave one behind:
 * the entry in the queue and the log decide, and whoever looks at the owners of work (owner-watch.ts) finds what has no hint.
 */
import type { ObjectStore } from '#storage/object-store.js';
import { entrySegment, parseEntrySegment } from './name-index.js';
import { keyOfEntry, type QueueEntry } from './queue-entry.js';

/** Where work stands in the queue, which never changes. */
export interface Place {
  /** From -maxPriority to maxPriority; the greatest is first. */
  readonly priority: number;
  /** When it was created, in ms since 1970. Of one project and priority, the oldest is first. */
  readonly sinceMs: number;
}

/** `claim`: it waits for an owner. `join`: its owner wants more members. `need`: its owner waits, because it has fewer than it needs. */
export type HintKind = 'claim' | 'join' | 'need';

export interface Hint extends QueueEntry, Place {
  readonly key: string;
}

export interface Hints {
  readonly claims: readonly Hint[];
  readonly joins: readonly Hint[];
  readonly needs: readonly Hint[];
  /** Differs whenever a process has left its mark (LookPace). */
  readonly mark: string;
}

export const maxPriority = 1000;

/** Number of requests that a look may make; those beyond, with 1,000 hints each, are seen at the next looks. */
const maxPages = 16;
/** Priorities as four digits, the greatest priority first. */
const rankOf = (priority: number): string => String(5000 - Math.max(-maxPriority, Math.min(maxPriority, priority)));
const pattern = /^(claim|join|need)-(\d{4})\/([^/]+)\/([^/_]+)_(\d{13,16})$/;

export class QueueHints {
  /** Where the next look goes on, if the last one did not reach the end. */
  #after: string | undefined;

  constructor(
    private readonly store: ObjectStore,
    /** For example `run-waiting`; the key of a hint is `<prefix>/<kind>-<rank>/<project>/<id and uid>_<since>`. */
    readonly prefix: string,
  ) {}

  async add(kind: HintKind, entry: QueueEntry, place: Place, signal?: AbortSignal): Promise<void> {
    await this.store.put(this.#key(kind, entry, place), Buffer.from('{}'), { contentType: 'application/json', signal });
  }

  async remove(kind: HintKind, entry: QueueEntry, place: Place, signal?: AbortSignal): Promise<void> {
    await this.drop({ key: this.#key(kind, entry, place) }, signal);
  }

  async drop({ key }: Pick<Hint, 'key'>, signal?: AbortSignal): Promise<void> {
    await this.store.delete(key, { signal });
  }

  /** Leaves the mark of a worker that looks (LookPace). */
  async leaveMark(signal?: AbortSignal): Promise<void> {
    await this.store.put(this.#markKey, Buffer.from('{}'), { contentType: 'application/json', signal });
  }

  /** The hints in the order of their priorities; of those of one priority and project, the oldest first. */
  async list(signal?: AbortSignal): Promise<Hints> {
    const found: Record<HintKind, Hint[]> = { claim: [], join: [], need: [] };
    let mark = '';
    let after: string | undefined;
    for (let page = 0; page < maxPages; page++) {
      const { objects, next } = await this.store.list(`${this.prefix}/`, { after, signal });
      for (const { key, lastModified } of objects) {
        if (key === this.#markKey) mark = `${lastModified.getTime()}`;
        const parsed = this.#parse(key);
        if (parsed !== undefined) found[parsed.kind].push(parsed.hint);
      }
      after = next;
      if (next === undefined) break;
      // The first page has the greatest priorities, so every look begins with it.
      if (page === 0 && this.#after !== undefined && this.#after > next) after = this.#after;
    }
    this.#after = after;
    return { claims: inOrder(found.claim), joins: inOrder(found.join), needs: inOrder(found.need), mark };
  }

  get #markKey(): string {
    return `${this.prefix}/looked`;
  }

  #key(kind: HintKind, entry: QueueEntry, { priority, sinceMs }: Place): string {
    const since = String(Math.max(0, Math.trunc(sinceMs))).padStart(13, '0');
    return `${this.prefix}/${kind}-${rankOf(priority)}/${entry.project}/${entrySegment(entry.id, entry.uid)}_${since}`;
  }

  #parse(key: string): { readonly kind: HintKind; readonly hint: Hint } | undefined {
    const [, kind, rank, project, segment, since] = pattern.exec(key.slice(this.prefix.length + 1)) ?? [];
    const entry = segment === undefined ? undefined : parseEntrySegment(segment);
    if (entry === undefined) return undefined;
    const hint = { project: project!, ...entry, priority: 5000 - Number(rank), sinceMs: Number(since), key };
    return { kind: kind as HintKind, hint };
  }
}

/** Whether work comes before other work: by its priority, its age, and then by its name, so that all processes see one order. */
export const comesBefore = (a: QueueEntry & Place, b: QueueEntry & Place): boolean => compare(a, b) < 0;

function compare(a: QueueEntry & Place, b: QueueEntry & Place): number {
  const [keyA, keyB] = [keyOfEntry(a), keyOfEntry(b)];
  return b.priority - a.priority || a.sinceMs - b.sinceMs || (keyA < keyB ? -1 : Number(keyA > keyB));
}

const inOrder = (hints: Hint[]): Hint[] => hints.sort(compare);
