/**
 * The index of a project's schedules, runs or evaluations, which lists read: one object for each incarnation, whose key has the id and the uid. Entries
 * are hints: they are added before the log is written, and the entry of a deleted incarnation may stay behind.
 *
 * A store pays for all keys of a folder when it lists a few of them, so the pages of names that were read lately are kept, and read again as
 * `listFreshness` says. What this process has added or removed meanwhile shows at once.
 */
import { RecentMap } from '#bounds/recent-map.js';
import { Refreshed } from '#bounds/refreshed.js';
import { listFreshness } from '#rpc/kept-items.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { isUid } from './incarnations.js';

/** Number of pages of names that are kept, of each index; a page has at most 1000 names. */
const keptPages = 4;
/** How long reading one page of names may take, in ms. */
const readingMs = 30_000;
/** The reading of a page of names that is shown began later than this time in ms ago. */
const changesMs = listFreshness.staleMs + readingMs;

export interface NamedEntry {
  readonly id: string;
  /** Absent for what version 0.1 stored. */
  readonly uid: string | undefined;
}

/**
 * One segment of a key for an id and a uid. '-' sorts before every other character of a key, so '.' stands for it in the id: then the segments sort as
 * the ids do.
 */
export const entrySegment = (id: string, uid: string): string => `${id.replaceAll('-', '.')}-${uid}`;

/** The id and uid of a segment; undefined if it is not one. */
export function parseEntrySegment(segment: string): { readonly id: string; readonly uid: string } | undefined {
  const at = segment.indexOf('-');
  const uid = segment.slice(at + 1);
  return at > 0 && isUid(uid) ? { id: segment.slice(0, at).replaceAll('.', '-'), uid } : undefined;
}

/** Some keys of a folder, in order. */
interface KeyPage {
  readonly keys: readonly string[];
  readonly next: string | undefined;
}

interface Change {
  readonly entry: NamedEntry & { readonly uid: string };
  readonly removed: boolean;
  readonly atMs: number;
}

export interface EntriesOptions {
  /** Only ids greater than this one. */
  readonly after?: string | undefined;
  /** Number of entries that are probably enough. If it is given, the entries of other processes may be behind by up to `listFreshness.staleMs`. */
  readonly first?: number | undefined;
  /** See Refreshed. */
  readonly impatient?: Promise<unknown> | undefined;
}

export class NameIndex {
  /** By folder, first key and limit. */
  readonly #pages = new RecentMap<string, Refreshed<KeyPage>>(keptPages);
  /** By segment, oldest first: what this process changed lately, which pages that are kept may lack. */
  readonly #changes = new Map<string, Change>();
  /** True once it was seen that version 0.1 left no entries; this version adds none. */
  #noneOf01 = false;

  constructor(
    private readonly store: ObjectStore,
    /** For example projects/P/index/runs. */
    private readonly folder: string,
    /** Where version 0.1 kept its index: its keys are ids. */
    private readonly folderOf01: string,
  ) {}

  async add(id: string, uid: string, signal?: AbortSignal): Promise<void> {
    await this.store.put(`${this.folder}/${entrySegment(id, uid)}`, Buffer.from('{}'), { contentType: 'application/json', signal });
    this.#changed({ id, uid }, false);
  }

  async remove(id: string, uid: string, signal?: AbortSignal): Promise<void> {
    await this.store.delete(`${this.folder}/${entrySegment(id, uid)}`, { signal });
    this.#changed({ id, uid }, true);
  }

  async removeOf01(id: string, signal?: AbortSignal): Promise<void> {
    await this.store.delete(`${this.folderOf01}/${id}`, { signal });
    // This is rare, and nothing is added there any more.
    for (const key of this.#pages.keys()) if (key.startsWith(`${this.folderOf01}/`)) this.#pages.delete(key);
  }

  /** The uids of the entries of an id. */
  async uidsOf(id: string, signal?: AbortSignal): Promise<string[]> {
    const uids: string[] = [];
    for await (const { key } of listAll(this.store, `${this.folder}/${entrySegment(id, '')}`, { signal })) {
      const entry = parseEntrySegment(key.slice(this.folder.length + 1));
      if (entry !== undefined) uids.push(entry.uid);
    }
    return uids;
  }

  /** All entries in ascending order of their ids. */
  async *entries(options: EntriesOptions, signal: AbortSignal = new AbortController().signal): AsyncGenerator<NamedEntry, void> {
    const ours = this.#ours(options, signal);
    const of01 = this.#of01(options, signal);
    let [left, right] = await Promise.all([ours.next(), of01.next()]);
    if (options.after === undefined && right.done) this.#noneOf01 = true;
    while (!left.done || !right.done) {
      if (right.done || (!left.done && left.value.id <= right.value.id)) {
        yield left.value as NamedEntry;
        left = await ours.next();
      } else {
        yield right.value;
        right = await of01.next();
      }
    }
  }

  async *#ours(options: EntriesOptions, signal: AbortSignal): AsyncGenerator<NamedEntry, void> {
    const { after } = options;
    const from = after === undefined ? undefined : `${this.folder}/${after.replaceAll('-', '.')}.`;
    const { added, removed } = this.#changesAfter(after);
    let k = 0;
    for await (const key of this.#keys(this.folder, from, options, signal)) {
      const segment = key.slice(this.folder.length + 1);
      const entry = parseEntrySegment(segment);
      if (entry === undefined) continue;
      while (k < added.length && added[k]!.segment < segment) yield added[k++]!.entry;
      if (added[k]?.segment === segment) k++;
      if (!removed.has(segment)) yield entry;
    }
    for (; k < added.length; k++) yield added[k]!.entry;
  }

  async *#of01(options: EntriesOptions, signal: AbortSignal): AsyncGenerator<NamedEntry, void> {
    if (this.#noneOf01) return;
    const from = options.after === undefined ? undefined : `${this.folderOf01}/${options.after}`;
    for await (const key of this.#keys(this.folderOf01, from, options, signal))
      yield { id: key.slice(this.folderOf01.length + 1), uid: undefined };
  }

  async *#keys(
    folder: string,
    from: string | undefined,
    { first, impatient }: EntriesOptions,
    signal: AbortSignal,
  ): AsyncGenerator<string, void> {
    if (first === undefined) {
      for await (const { key } of listAll(this.store, `${folder}/`, { after: from, signal })) yield key;
      return;
    }
    let limit = Math.min(1000, first);
    for (let after = from; ; limit = 1000) {
      const { keys, next } = await this.#page(folder, after, limit).get(signal, impatient);
      yield* keys;
      if (next === undefined) return;
      after = next;
    }
  }

  #page(folder: string, after: string | undefined, limit: number): Refreshed<KeyPage> {
    const read = async (): Promise<KeyPage> => {
      const { objects, next } = await this.store.list(`${folder}/`, { after, limit, signal: AbortSignal.timeout(readingMs) });
      return { keys: objects.map(({ key }) => key), next };
    };
    return this.#pages.getOrMake(`${folder}/ ${after ?? ''} ${limit}`, () => new Refreshed(read, listFreshness));
  }

  #changed(entry: NamedEntry & { readonly uid: string }, removed: boolean): void {
    this.#forgetChanges();
    const segment = entrySegment(entry.id, entry.uid);
    this.#changes.delete(segment);
    this.#changes.set(segment, { entry, removed, atMs: performance.now() });
  }

  #forgetChanges(): void {
    for (const [segment, { atMs }] of this.#changes) {
      if (performance.now() - atMs < changesMs) return;
      this.#changes.delete(segment);
    }
  }

  /** What was added, in the order of the segments, and the segments of what was removed. */
  #changesAfter(after: string | undefined): {
    readonly added: readonly { readonly segment: string; readonly entry: NamedEntry }[];
    readonly removed: ReadonlySet<string>;
  } {
    this.#forgetChanges();
    const added: { readonly segment: string; readonly entry: NamedEntry }[] = [];
    const removed = new Set<string>();
    for (const [segment, change] of this.#changes) {
      if (change.removed) removed.add(segment);
      else if (after === undefined || change.entry.id > after) added.push({ segment, entry: change.entry });
    }
    added.sort((a, b) => (a.segment < b.segment ? -1 : 1));
    return { added, removed };
  }
}
