/**
 * Stores schedules as series of immutable revisions. A revision is an exclusive create of the next number, so one of several writers wins, in
 * whichever replica, and the others get a stale etag. Every schedule has a uid, and its revisions lie below it. A deletion is a last revision, after
 * which there can be no other one, and then the tombstone of the uid; if a crash comes in between, the next create writes the tombstone. A schedule
 * that is created again has another uid but continues the numbers, so that (name, revision) is unique.
 */
import { randomUUID } from 'node:crypto';
import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, AlreadyExists, DataLoss, NotFound, ResourceExhausted } from '#errors/errors.js';
import { formatName } from '#errors/resource-names.js';
import type { StoredDropSchedule } from '#spec/drop-schedules.js';
import { createExclusive } from '#storage/exclusive-create.js';
import { listAll, ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { type Incarnation, Incarnations, incarnationFolder, layoutOf01 } from '#work/incarnations.js';
import { decodeRecord, encodeRecord, etagOf, type RevisionRecord, revisionFormat, specDigest } from './revision-record.js';

/** Largest number of revisions of all schedules of one name, including those that mark deletions. */
export const maxRevisions = 10_000;
/** Largest number of objects of schedules in one project, which ListSchedules has to list. */
const maxScan = 100_000;
const maxRecordBytes = 16 * 1024;
const writeAttempts = 5;
const kind = 'schedule';

/** One incarnation of a schedule's name. */
export interface ScheduleKey {
  readonly name: string;
  readonly uid: string;
}

/** A schedule of a list: either its newest revision, or the reason why it cannot be read. */
export interface ListedSchedule {
  readonly id: string;
  readonly name: string;
  readonly record?: RevisionRecord;
  readonly reason?: string;
}

export interface ScheduleStoreOptions {
  /** Called for every revision that this process stores. */
  readonly onRevision?: (uid: string, revision: number) => void;
}

export class ScheduleStore {
  readonly #store: ObjectStore;
  readonly #incarnations: Incarnations;
  readonly #onRevision: (uid: string, revision: number) => void;
  // Both caches hold immutable facts: stored records by key, and by uid that a revision exists.
  readonly #records = new RecentMap<string, RevisionRecord>(4096);
  readonly #newest = new RecentMap<string, number>(4096);

  constructor(store: ObjectStore, options: ScheduleStoreOptions = {}) {
    this.#store = store;
    this.#incarnations = new Incarnations(store);
    this.#onRevision = options.onRevision ?? (() => {});
  }

  /**
   * Stores the first revision. A repeated request id returns the schedule that it created.
   * @throws AlreadyExists if the name is in use, or the request id was used with another spec; FailedPrecondition if version 0.1 stored a schedule
   * of this name
   */
  async create(name: string, spec: StoredDropSchedule, requestId: string, signal: AbortSignal): Promise<RevisionRecord> {
    const digest = specDigest(spec);
    for (let attempt = 1; attempt <= writeAttempts; attempt++) {
      const before = await this.newest(name, signal);
      if (before !== undefined && requestId !== '' && before.creation.request_id === requestId) {
        if (before.creation.spec_sha256 !== digest)
          throw new AlreadyExists(kind, name, `request id ${requestId} was used with another spec`);
        return await this.#read({ name, uid: before.uid, revision: before.creation.revision }, signal);
      }
      if (before !== undefined && !before.deleted) throw new AlreadyExists(kind, name);
      // A deletion may have been interrupted before its tombstone.
      if (before !== undefined) await this.#bury(before, signal);
      const { uid, facts } = await this.#incarnations.mint(kind, name, (last) => ({ after: last?.facts.last ?? 0 }), signal);
      const revision = firstRevision(name, facts);
      const creation = { revision, request_id: requestId, spec_sha256: digest };
      const record = await this.#append({ name, uid, revision, spec, deleted: false, creation }, signal);
      if (record === undefined) continue; // Another create won: its record is looked at next.
      await this.#incarnations.sweep(name, signal);
      return record;
    }
    throw new Aborted(kind, name, 'other writers changed it at the same time, repeatedly: try again');
  }

  /**
   * Appends the revision that `change` makes from the newest one, which must have the etag if one is given.
   * @throws NotFound; Aborted if the etag is stale
   */
  async append(
    name: string,
    etag: string,
    change: (newest: RevisionRecord) => StoredDropSchedule,
    signal: AbortSignal,
  ): Promise<RevisionRecord> {
    return await this.#change(name, etag, (newest) => ({ spec: change(newest), deleted: false }), signal);
  }

  /** @throws NotFound; Aborted if an etag is given that is not the newest revision's */
  async delete(name: string, etag: string, signal: AbortSignal): Promise<void> {
    if ((await this.#incarnations.newest(name, signal)) === undefined && (await this.#incarnations.removeLayoutOf01(name, signal))) return;
    const last = await this.#change(name, etag, ({ spec }) => ({ spec, deleted: true }), signal);
    await this.#bury(last, signal);
  }

  /** The newest revision, or the given one. @throws NotFound, also if the schedule was deleted */
  async get(name: string, revision: number, signal: AbortSignal): Promise<RevisionRecord> {
    const newest = await this.newest(name, signal);
    if (newest === undefined || newest.deleted) throw new NotFound(kind, name);
    if (revision === 0 || revision === newest.revision) return newest;
    // Smaller numbers belonged to earlier schedules of this name.
    if (revision > newest.revision || revision < newest.creation.revision)
      throw new NotFound('schedule revision', `${name}/revisions/${revision}`);
    return await this.#read({ name, uid: newest.uid, revision }, signal);
  }

  /**
   * The newest revision of the schedule that has the name now or had it last; it is marked as deleted if the schedule is. Undefined if there never was
   * one. @throws FailedPrecondition if version 0.1 stored it; DataLoss
   */
  async newest(name: string, signal: AbortSignal): Promise<RevisionRecord | undefined> {
    const incarnation = await this.#incarnations.newest(name, signal);
    if (incarnation === undefined) await this.#incarnations.refuseLayoutOf01(kind, name, signal);
    return incarnation && (await this.#newestOf(name, incarnation, signal));
  }

  /** Number of the newest revision of one incarnation; Infinity if the name belongs to another one by now. */
  async newestNumber(name: string, uid: string, signal: AbortSignal): Promise<number> {
    const incarnation = await this.#incarnations.newest(name, signal);
    if (incarnation?.uid !== uid) return Number.POSITIVE_INFINITY;
    return (await this.#newestOf(name, incarnation, signal))?.revision ?? 0;
  }

  /**
   * At most `limit` revisions of one incarnation greater than `after`, oldest first, including the one that marks its deletion.
   * @throws NotFound if the name belongs to another incarnation by now
   */
  async revisionsAfter({ name, uid }: ScheduleKey, after: number, limit: number, signal: AbortSignal): Promise<RevisionRecord[]> {
    const newest = await this.newest(name, signal);
    if (newest?.uid !== uid) throw new NotFound(kind, `${name} with uid ${uid}`);
    const last = Math.min(newest.revision, after + limit);
    const records: RevisionRecord[] = [];
    for (let revision = Math.max(after + 1, newest.creation.revision); revision <= last; revision++)
      records.push(await this.#read({ name, uid, revision }, signal));
    return records;
  }

  /** At most `limit` schedules of a project that are not deleted, with ids greater than `after`, in ascending order. */
  async list(project: string, after: string | undefined, limit: number, signal: AbortSignal): Promise<ListedSchedule[]> {
    // Keys sort "a-b/…" before "a/…", but names sort the other way round; so all ids are read and then sorted.
    const ids = new Set<string>();
    let scanned = 0;
    for await (const { key } of listAll(this.#store, `${formatName('project', { project })}/schedules/`, { signal })) {
      if (++scanned > maxScan)
        throw new ResourceExhausted(`listing ${formatName('project', { project })}`, `${maxScan} schedule revisions`);
      ids.add(key.split('/')[3]!);
    }
    const found: ListedSchedule[] = [];
    for (const id of [...ids].sort()) {
      if (after !== undefined && id <= after) continue;
      const name = formatName('schedule', { project, schedule: id });
      const incarnation = await this.#incarnations.newest(name, signal);
      if (incarnation === undefined) found.push({ id, name, reason: layoutOf01 });
      else {
        const record = incarnation.deleted ? undefined : await this.#newestOf(name, incarnation, signal);
        if (record !== undefined && !record.deleted) found.push({ id, name, record });
      }
      if (found.length === limit) break;
    }
    return found;
  }

  async #change(
    name: string,
    etag: string,
    change: (newest: RevisionRecord) => { spec: StoredDropSchedule; deleted: boolean },
    signal: AbortSignal,
  ): Promise<RevisionRecord> {
    for (let attempt = 1; attempt <= writeAttempts; attempt++) {
      const newest = await this.newest(name, signal);
      if (newest === undefined || newest.deleted) throw new NotFound(kind, name);
      if (etag !== '' && etag !== etagOf(newest))
        throw new Aborted(kind, name, `etag ${etag.slice(0, 64)} is stale, the newest is ${etagOf(newest)}`);
      const { uid, revision, creation } = newest;
      const record = await this.#append({ name, uid, revision: revision + 1, ...change(newest), creation }, signal);
      if (record === undefined) continue;
      // The schedule may have been deleted, and its revisions removed, since the newest one was read.
      if ((await this.#incarnations.newest(name, signal))?.uid !== uid) throw new NotFound(kind, name);
      return record;
    }
    throw new Aborted(kind, name, 'other writers changed it at the same time, repeatedly: try again');
  }

  /** Writes the tombstone of a schedule whose last revision marks its deletion. The next schedule of this name continues the numbers. */
  async #bury({ name, uid, revision }: RevisionRecord, signal: AbortSignal): Promise<void> {
    await this.#incarnations.bury(name, uid, { last: revision }, signal);
  }

  /** The newest revision of an incarnation; undefined if it has none yet. */
  async #newestOf(name: string, { uid, facts, deleted }: Incarnation, signal: AbortSignal): Promise<RevisionRecord | undefined> {
    // A tombstone says itself which revision was the last one.
    if (deleted) return await this.#read({ name, uid, revision: Number(facts.last) }, signal);
    const first = firstRevision(name, facts);
    const known = this.#newest.get(uid) ?? first;
    let newest = known - 1;
    // The known one is listed again: if it is lost, its number must not be given out for the second time.
    for await (const { key } of listAll(this.#store, `${folderOf({ name, uid })}/`, {
      after: keyOf({ name, uid, revision: newest }),
      signal,
    })) {
      const listed = revisionOf(key);
      // A listing that runs during writes may contain a revision but not the one before it.
      while (++newest < listed) await this.#read({ name, uid, revision: newest }, signal);
    }
    if (newest < known) {
      if (this.#newest.get(uid) === undefined) return undefined;
      throw new DataLoss(keyOf({ name, uid, revision: known }), 'it was read before and is missing now');
    }
    const record = await this.#read({ name, uid, revision: newest }, signal);
    this.#newest.set(uid, newest);
    return record;
  }

  /** Returns undefined if another writer took the number. */
  async #append(
    { name, uid, revision, ...rest }: Pick<RevisionRecord, 'name' | 'uid' | 'revision' | 'spec' | 'deleted' | 'creation'>,
    signal: AbortSignal,
  ): Promise<RevisionRecord | undefined> {
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
    this.#records.set(key, record);
    this.#onRevision(uid, revision);
    return record;
  }

  async #read(at: Pick<RevisionRecord, 'name' | 'uid' | 'revision'>, signal: AbortSignal): Promise<RevisionRecord> {
    const key = keyOf(at);
    const known = this.#records.get(key);
    if (known !== undefined) return known;
    const { bytes } = await this.#store.get(key, { maxBytes: maxRecordBytes, signal }).catch((cause) => {
      if (cause instanceof ObjectNotFound) throw new DataLoss(key, 'a revision in the middle of the series is missing', { cause });
      throw cause;
    });
    const record = decodeRecord(key, bytes, at);
    this.#records.set(key, record);
    return record;
  }
}

/** Number of an incarnation's first revision, which follows the last one of the schedule that had the name before. */
function firstRevision(name: string, { after }: Incarnation['facts']): number {
  if (typeof after !== 'number') throw new DataLoss(name, 'its incarnation does not say where its revisions begin');
  return after + 1;
}

const folderOf = ({ name, uid }: ScheduleKey): string => `${incarnationFolder(name, uid)}/revisions`;

const keyOf = ({ revision, ...key }: ScheduleKey & { readonly revision: number }): string =>
  `${folderOf(key)}/${String(revision).padStart(12, '0')}.json`;

function revisionOf(key: string): number {
  const match = /\/(\d{12})\.json$/.exec(key);
  if (!match) throw new DataLoss(key, 'not the key of a schedule revision');
  return Number(match[1]);
}
