/**
 * Schedules as series of immutable revisions in the object store. A revision is made by exclusive create of the next number, so of any
 * number of writers, in any replica, one wins and the others see a stale etag. Deleting appends a tombstone; creating the name again goes
 * on counting, so that (name, revision) never means two things.
 */
import { randomUUID } from 'node:crypto';
import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, AlreadyExists, DataLoss, NotFound, ResourceExhausted } from '#errors/errors.js';
import { formatName, parseName } from '#errors/resource-names.js';
import type { StoredDropSchedule } from '#spec/drop-schedules.js';
import { createExclusive } from '#storage/exclusive-create.js';
import { listAll, ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { decodeRecord, encodeRecord, etagOf, type RevisionRecord, specDigest } from './revision-record.js';

/** Revisions of one schedule, tombstones included. */
export const maxRevisions = 10_000;
/** Revisions of one project: what ListSchedules reads through. */
const maxScan = 100_000;
const maxRecordBytes = 16 * 1024;
const writeAttempts = 5;
const kind = 'schedule';

export interface ScheduleStoreOptions {
  /** Told of every revision stored here. */
  readonly onRevision?: (name: string, revision: number) => void;
}

export class ScheduleStore {
  readonly #store: ObjectStore;
  readonly #onRevision: (name: string, revision: number) => void;
  // Both hold what cannot change: a record once written, and that a revision exists.
  readonly #records = new RecentMap<string, RevisionRecord>(4096);
  readonly #newest = new RecentMap<string, number>(4096);

  constructor(store: ObjectStore, options: ScheduleStoreOptions = {}) {
    this.#store = store;
    this.#onRevision = options.onRevision ?? (() => {});
  }

  /**
   * Stores the first revision. A repeated request id answers what it answered before.
   * @throws AlreadyExists for a name in use, or the same request id with another spec
   */
  async create(name: string, spec: StoredDropSchedule, requestId: string, signal: AbortSignal): Promise<RevisionRecord> {
    const digest = specDigest(spec);
    for (let attempt = 1; attempt <= writeAttempts; attempt++) {
      const newest = await this.newest(name, signal);
      if (newest !== undefined && requestId !== '' && newest.creation.request_id === requestId) {
        if (newest.creation.spec_sha256 !== digest)
          throw new AlreadyExists(kind, name, `request id ${requestId} was used with another spec`);
        return await this.#read(name, newest.creation.revision, signal);
      }
      if (newest !== undefined && !newest.deleted) throw new AlreadyExists(kind, name);
      const revision = (newest?.revision ?? 0) + 1;
      const creation = { revision, request_id: requestId, spec_sha256: digest };
      const record = await this.#append({ name, revision, spec, deleted: false, creation }, signal);
      if (record !== undefined) return record;
      // Another create won: look at what it made.
    }
    throw new Aborted(kind, name, 'other writers were faster each time');
  }

  /**
   * Appends a revision made from the newest one by `change`. With an etag, only on that one.
   * @throws NotFound; Aborted where the etag is stale
   */
  async append(
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
      const { spec, deleted } = change(newest);
      const record = await this.#append({ name, revision: newest.revision + 1, spec, deleted, creation: newest.creation }, signal);
      if (record !== undefined) return record;
    }
    throw new Aborted(kind, name, 'other writers were faster each time');
  }

  /** The newest revision, or the given one. @throws NotFound, also for every revision of a deleted schedule */
  async get(name: string, revision: number, signal: AbortSignal): Promise<RevisionRecord> {
    const newest = await this.newest(name, signal);
    if (newest === undefined || newest.deleted) throw new NotFound(kind, name);
    if (revision === 0 || revision === newest.revision) return newest;
    if (revision > newest.revision) throw new NotFound('schedule revision', `${name}/revisions/${revision}`);
    const record = await this.#read(name, revision, signal);
    if (record.deleted) throw new NotFound('schedule revision', `${name}/revisions/${revision}`);
    return record;
  }

  /** The newest revision, tombstones included; undefined where there never was one. */
  async newest(name: string, signal: AbortSignal): Promise<RevisionRecord | undefined> {
    const known = this.#newest.get(name) ?? 0;
    let newest = known;
    const after = known === 0 ? undefined : keyOf(name, known);
    for await (const { key } of listAll(this.#store, `${folderOf(name)}/`, { after, signal })) newest = revisionOf(key);
    if (newest === 0) return undefined;
    this.#newest.set(name, newest);
    return await this.#read(name, newest, signal);
  }

  /** Revisions above `after`, oldest first, at most `limit`, tombstones included. */
  async revisionsAfter(name: string, after: number, limit: number, signal: AbortSignal): Promise<RevisionRecord[]> {
    const newest = await this.newest(name, signal);
    const last = Math.min(newest?.revision ?? 0, after + limit);
    const records: RevisionRecord[] = [];
    for (let revision = after + 1; revision <= last; revision++) records.push(await this.#read(name, revision, signal));
    return records;
  }

  /** Live schedules of a project, ids ascending, after id `after`: at most `limit`. */
  async list(project: string, after: string | undefined, limit: number, signal: AbortSignal): Promise<RevisionRecord[]> {
    // Keys sort "a-b/…" before "a/…", names the other way round: so all ids are read, then sorted.
    const newest = new Map<string, number>();
    let scanned = 0;
    for await (const { key } of listAll(this.#store, `${formatName('project', { project })}/schedules/`, { signal })) {
      if (++scanned > maxScan)
        throw new ResourceExhausted(`listing ${formatName('project', { project })}`, `${maxScan} schedule revisions`);
      newest.set(key.split('/')[3]!, revisionOf(key));
    }
    const records: RevisionRecord[] = [];
    for (const id of [...newest.keys()].sort()) {
      if (after !== undefined && id <= after) continue;
      const record = await this.#read(formatName('schedule', { project, schedule: id }), newest.get(id)!, signal);
      if (!record.deleted) records.push(record);
      if (records.length === limit) break;
    }
    return records;
  }

  /** Undefined where another writer took the number. */
  async #append(
    { name, revision, ...rest }: Pick<RevisionRecord, 'name' | 'revision' | 'spec' | 'deleted' | 'creation'>,
    signal: AbortSignal,
  ): Promise<RevisionRecord | undefined> {
    if (revision > maxRevisions) throw new ResourceExhausted(name, `${maxRevisions} revisions`);
    const record: RevisionRecord = {
      format: 'dropstream.schedule-revision/1',
      name,
      revision,
      ...rest,
      create_time: new Date().toISOString(),
      writer: randomUUID(),
    };
    const key = keyOf(name, revision);
    const outcome = await createExclusive(this.#store, key, encodeRecord(record), { contentType: 'application/json', signal });
    if (outcome === 'exists') return undefined;
    this.#records.set(key, record);
    this.#onRevision(name, revision);
    return record;
  }

  async #read(name: string, revision: number, signal: AbortSignal): Promise<RevisionRecord> {
    const key = keyOf(name, revision);
    const known = this.#records.get(key);
    if (known !== undefined) return known;
    const { bytes } = await this.#store.get(key, { maxBytes: maxRecordBytes, signal }).catch((cause) => {
      if (cause instanceof ObjectNotFound) throw new DataLoss(key, 'a revision in the middle of the series is missing', { cause });
      throw cause;
    });
    const record = decodeRecord(key, bytes, name, revision);
    this.#records.set(key, record);
    return record;
  }
}

/** `name` has been parsed: its ids are safe in a key. */
function folderOf(name: string): string {
  parseName('schedule', name);
  return `${name}/revisions`;
}

function keyOf(name: string, revision: number): string {
  return `${folderOf(name)}/${String(revision).padStart(12, '0')}.json`;
}

function revisionOf(key: string): number {
  const match = /\/(\d{12})\.json$/.exec(key);
  if (!match) throw new DataLoss(key, 'not the key of a schedule revision');
  return Number(match[1]);
}
