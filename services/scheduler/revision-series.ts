/**
 * The revisions of one schedule: immutable objects with consecutive numbers below its uid, each made by exclusive create. Every revision names the
 * digest of the one before it, and a mark tells of the newest one, so that a revision that is lost or replaced is damage.
 */
import { randomUUID } from 'node:crypto';
import { RecentMap } from '#bounds/recent-map.js';
import { DataLoss, ResourceExhausted } from '#errors/errors.js';
import { createExclusive } from '#storage/exclusive-create.js';
import { listAll, ObjectNotFound, type ObjectStore, objectExists } from '#storage/object-store.js';
import { type Incarnation, incarnationFolder } from '#work/incarnations.js';
import { decodeRecord, encodeRecord, follows, type RevisionRecord, revisionFormat } from './revision-record.js';

/** Largest number of revisions of all schedules of one name, including those that mark deletions. */
export const maxRevisions = 10_000;
const maxRecordBytes = 16 * 1024;
const keptRecords = 4096;
const keptNumbers = 16_384;

/** One incarnation of a schedule's name. */
export interface ScheduleKey {
  readonly name: string;
  readonly uid: string;
}

export interface RevisionKey extends ScheduleKey {
  readonly revision: number;
}

/** What a writer decides about a revision. */
export type NewRevision = Omit<RevisionRecord, 'format' | 'create_time' | 'writer'>;

export class RevisionSeries {
  readonly #store: ObjectStore;
  // Both caches hold immutable facts: stored records by key, and by uid that a revision exists.
  readonly #records = new RecentMap<string, RevisionRecord>(keptRecords);
  readonly #newest = new RecentMap<string, number>(keptNumbers);

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** The newest revision of an incarnation; undefined if it has none yet. */
  async newest(name: string, { uid, facts, deleted }: Incarnation, signal: AbortSignal): Promise<RevisionRecord | undefined> {
    // What was deleted without being read left nothing that could be read.
    if (deleted && facts.unread === true) return undefined;
    // A tombstone says itself which revision was the last one.
    if (deleted) return await this.read({ name, uid, revision: Number(facts.last) }, signal);
    const first = firstRevision(name, facts);
    const known = this.#newest.get(uid) ?? first;
    let newest = known - 1;
    let acknowledged = 0;
    // The known one is listed again: if it is lost, its number must not be given out for the second time.
    for await (const { key } of listAll(this.#store, `${folderOf({ name, uid })}/`, {
      after: keyOf({ name, uid, revision: newest }),
      signal,
    })) {
      const { revision: listed, isMark } = parseKey(key);
      if (isMark) {
        acknowledged = listed;
        continue;
      }
      // A listing that runs during writes may contain a revision but not the one before it.
      while (++newest < listed) await this.read({ name, uid, revision: newest }, signal);
    }
    // A mark is written after its revision, so the revision was there.
    while (newest < acknowledged) {
      const at = { name, uid, revision: ++newest };
      this.#records.delete(keyOf(at));
      await this.read(at, signal);
    }
    if (newest < known) {
      if (this.#newest.get(uid) === undefined) return undefined;
      throw new DataLoss(keyOf({ name, uid, revision: known }), 'it was read before and is missing now');
    }
    const record = await this.read({ name, uid, revision: newest }, signal);
    this.#newest.set(uid, newest);
    return record;
  }

  /** @returns undefined if another writer took the number */
  async append({ name, uid, revision, ...rest }: NewRevision, signal: AbortSignal): Promise<RevisionRecord | undefined> {
    if (revision > maxRevisions) throw new ResourceExhausted(name, `${maxRevisions} revisions`);
    const record: RevisionRecord = {
      format: revisionFormat,
      name,
      uid,
      revision,
      ...rest,
      create_time: new Date().toISOString(),
      writer: randomUUID(),
    };
    const key = keyOf(record);
    const outcome = await createExclusive(this.#store, key, encodeRecord(record), { contentType: 'application/json', signal });
    if (outcome === 'exists') return undefined;
    await this.#mark(record, signal);
    this.#records.set(key, record);
    return record;
  }

  /** A revision that exists, which may be the one that marks a deletion. @throws DataLoss if it is missing, or damaged, or the one before is another */
  async linked(at: RevisionKey, signal: AbortSignal): Promise<RevisionRecord> {
    const record = await this.read(at, signal);
    if (record.previous === '') return record;
    return (await this.pair({ ...at, revision: at.revision - 1 }, signal))[1];
  }

  /** A revision that is not the newest, and the one after it. @throws DataLoss if they do not belong together */
  async pair(at: RevisionKey, signal: AbortSignal): Promise<readonly [RevisionRecord, RevisionRecord]> {
    for (let attempt = 1; ; attempt++) {
      const after = { ...at, revision: at.revision + 1 };
      const [record, next] = await Promise.all([this.read(at, signal), this.read(after, signal)]);
      if (follows(next, record)) return [record, next];
      // What is kept here may have been repaired in the store.
      for (const key of [at, after]) this.#records.delete(keyOf(key));
      if (attempt > 1) throw new DataLoss(keyOf(at), `it is not the revision that revision ${next.revision} follows`);
    }
  }

  /** Whether the store has a revision, which is not read. */
  async has(at: RevisionKey, signal: AbortSignal): Promise<boolean> {
    return await objectExists(this.#store, keyOf(at), { signal });
  }

  /** The greatest number of a revision in the store; 0 if there is none. */
  async lastNumber(key: ScheduleKey, signal: AbortSignal): Promise<number> {
    let last = 0;
    for await (const { key: object } of listAll(this.#store, `${folderOf(key)}/`, { signal }))
      last = Math.max(last, revisionIn(object) ?? 0);
    return last;
  }

  /**
   * Nothing follows the newest revision that would tell of its loss; its mark does. It is written before the caller learns of the revision, so what
   * was promised is never silently gone, and its number never given out again. Earlier marks are not needed.
   */
  async #mark(record: RevisionRecord, signal: AbortSignal): Promise<void> {
    await this.#store.put(markOf(record), Buffer.from('{}'), { contentType: 'application/json', signal });
    const before = { ...record, revision: record.revision - 1 };
    await this.#store.delete(markOf(before), { signal }).catch(() => {});
  }

  /** @throws DataLoss if it is missing or damaged */
  async read(at: RevisionKey, signal: AbortSignal): Promise<RevisionRecord> {
    const key = keyOf(at);
    const known = this.#records.get(key);
    if (known !== undefined) return known;
    const { bytes } = await this.#store.get(key, { maxBytes: maxRecordBytes, signal }).catch((cause) => {
      if (cause instanceof ObjectNotFound) throw new DataLoss(key, 'the revision was stored and is missing now', { cause });
      throw cause;
    });
    const record = decodeRecord(key, bytes, at);
    this.#records.set(key, record);
    return record;
  }
}

/** Number of an incarnation's first revision, which follows the last one of the schedule that had the name before. */
export function firstRevision(name: string, { after }: Incarnation['facts']): number {
  if (typeof after !== 'number') throw new DataLoss(name, 'its incarnation does not say where its revisions begin');
  return after + 1;
}

const folderOf = ({ name, uid }: ScheduleKey): string => `${incarnationFolder(name, uid)}/revisions`;

const keyOf = ({ revision, ...key }: RevisionKey): string => `${folderOf(key)}/${String(revision).padStart(12, '0')}.json`;

const markOf = (at: RevisionKey): string => keyOf(at).replace(/json$/, 'ack');

function parseKey(key: string): { readonly revision: number; readonly isMark: boolean } {
  const match = revisionKey.exec(key);
  if (!match) throw new DataLoss(key, 'not the key of a schedule revision');
  return { revision: Number(match[1]), isMark: match[2] === 'ack' };
}

/** The number in the key of a revision or of its mark. */
const revisionIn = (key: string): number | undefined => {
  const match = revisionKey.exec(key);
  return match ? Number(match[1]) : undefined;
};

const revisionKey = /\/(\d{12})\.(json|ack)$/;
