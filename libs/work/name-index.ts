/**
 * The index of a project's runs or evaluations, which lists read: one object for each incarnation, whose key has the id and the uid. Entries are hints:
 * they are added before the log is written, and the entry of a deleted incarnation may stay behind.
 */
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { isUid } from './incarnations.js';

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

export class NameIndex {
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
  }

  async remove(id: string, uid: string, signal?: AbortSignal): Promise<void> {
    await this.store.delete(`${this.folder}/${entrySegment(id, uid)}`, { signal });
  }

  async removeOf01(id: string, signal?: AbortSignal): Promise<void> {
    await this.store.delete(`${this.folderOf01}/${id}`, { signal });
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

  /**
   * All entries in ascending order of their ids.
   * @param options.after only ids greater than this one
   * @param options.first number of entries that are probably enough
   */
  async *entries(
    { after, first }: { readonly after?: string | undefined; readonly first?: number | undefined },
    signal?: AbortSignal,
  ): AsyncGenerator<NamedEntry, void> {
    const limit = first === undefined ? undefined : Math.min(1000, first);
    const ours = this.#ours(after, limit, signal);
    const of01 = this.#of01(after, limit, signal);
    let [left, right] = await Promise.all([ours.next(), of01.next()]);
    if (after === undefined && right.done) this.#noneOf01 = true;
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

  async *#ours(after: string | undefined, limit: number | undefined, signal: AbortSignal | undefined): AsyncGenerator<NamedEntry, void> {
    const from = after === undefined ? undefined : `${this.folder}/${after.replaceAll('-', '.')}.`;
    for await (const { key } of listAll(this.store, `${this.folder}/`, { after: from, limit, signal })) {
      const entry = parseEntrySegment(key.slice(this.folder.length + 1));
      if (entry !== undefined) yield entry;
    }
  }

  async *#of01(after: string | undefined, limit: number | undefined, signal: AbortSignal | undefined): AsyncGenerator<NamedEntry, void> {
    if (this.#noneOf01) return;
    const from = after === undefined ? undefined : `${this.folderOf01}/${after}`;
    for await (const { key } of listAll(this.store, `${this.folderOf01}/`, { after: from, limit, signal }))
      yield { id: key.slice(this.folderOf01.length + 1), uid: undefined };
  }
}
