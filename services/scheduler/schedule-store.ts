/**
 * Stores schedules as series of immutable revisions. A revision is an exclusive create of the next number, so one of several writers wins, in
 * whichever replica, and the others get a stale etag. Every schedule has a uid, and its revisions lie below it. A deletion is a last revision, after
 * which there can be no other one, and then the tombstone of the uid; if a crash comes in between, the next create writes the tombstone. A schedule
 * that is created again has another uid but continues the numbers, so that (name, revision) is unique.
 */
import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { formatName, parseName } from '#errors/resource-names.js';
import { DropKind, DropMode, DropSchedule, DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { checkEtag, refuseUnreadableEtag } from '#rpc/etag.js';
import { fullLookMs, type KeptItem, KeptItems } from '#rpc/kept-items.js';
import { isDamage, type ListedPage, listPage, readOrDamage } from '#rpc/list-page.js';
import type { Page } from '#rpc/pagination.js';
import { checkRepeated } from '#rpc/request-id.js';
import { type StoredDropSchedule, toStored } from '#spec/drop-schedules.js';
import type { ObjectStore } from '#storage/object-store.js';
import { type Incarnation, Incarnations, layoutOf01 } from '#work/incarnations.js';
import { type NamedEntry, NameIndex } from '#work/name-index.js';
import { digestOf, etagOf, type RevisionRecord, rememberedUpdates, specDigest } from './revision-record.js';
import { firstRevision, type NewRevision, type RevisionKey, RevisionSeries, type ScheduleKey } from './revision-series.js';
import { SchedulesOf01 } from './schedules-of-01.js';

/** Largest number of schedules that are kept for lists. */
const keptSchedules = 16_384;
/** Number of projects whose index is kept. */
const keptIndexes = 256;
/** Largest size in bytes of a schedule in an answer without its creator: a name of at most 150 bytes, a spec of five numbers, a uid, an etag and a time. */
const longestSchedule = 400;
const writeAttempts = 5;
const kind = 'schedule';

interface ListedSchedule extends KeptItem {
  readonly record: RevisionRecord;
}

export interface ScheduleStoreOptions {
  /** Called for every revision that this process stores. */
  readonly onRevision?: (schedule: ScheduleKey, revision: number) => void;
}

/** Which update is asked for. */
export interface UpdateRequest {
  /** Empty: the newest revision is changed without a check. */
  readonly etag: string;
  /** Empty: the update is never recognised as repeated. */
  readonly requestId: string;
  /** Equal for equal requests. */
  readonly digest: string;
  /** Principal that asks; undefined if the service has no identities. */
  readonly creator?: string | undefined;
}

/** What follows the newest revision: the next one, or nothing, because an existing one is the answer. */
type Change = (newest: RevisionRecord) => Pick<RevisionRecord, 'spec' | 'deleted' | 'updates' | 'creator'> | { readonly revision: number };

export class ScheduleStore {
  readonly #store: ObjectStore;
  readonly #incarnations: Incarnations;
  readonly #onRevision: (schedule: ScheduleKey, revision: number) => void;
  readonly #indexes = new RecentMap<string, NameIndex>(keptIndexes);
  readonly #series: RevisionSeries;
  readonly #listed: KeptItems<ListedSchedule>;
  readonly #of01: SchedulesOf01;

  constructor(store: ObjectStore, options: ScheduleStoreOptions = {}) {
    this.#store = store;
    this.#series = new RevisionSeries(store);
    this.#incarnations = new Incarnations(store);
    this.#onRevision = options.onRevision ?? (() => {});
    this.#listed = new KeptItems({ limit: keptSchedules, read: (key, kept, signal) => this.#readListed(key, kept, signal) });
    this.#of01 = new SchedulesOf01(store);
  }

  /**
   * Stores the first revision. A repeated request id returns the schedule that it created.
   * @throws AlreadyExists if the name is in use, or the request id was used with another spec; FailedPrecondition if version 0.1 stored a schedule
   * of this name
   */
  async create(
    name: string,
    spec: StoredDropSchedule,
    { requestId, creator }: Pick<UpdateRequest, 'requestId' | 'creator'>,
    signal: AbortSignal,
  ): Promise<RevisionRecord> {
    const digest = specDigest(spec);
    for (let attempt = 1; attempt <= writeAttempts; attempt++) {
      const before = await this.newest(name, signal);
      if (before !== undefined && !before.deleted) {
        const first = await this.#series.read({ name, uid: before.uid, revision: before.creation.revision }, signal);
        const { request_id, spec_sha256 } = first.creation;
        const earlier = { requestId: request_id, digest: spec_sha256, time: new Date(first.create_time) };
        checkRepeated(kind, name, earlier, { requestId, digest });
        return first;
      }
      // A deletion may have been interrupted before its tombstone.
      if (before !== undefined) await this.#bury(before, signal);
      const { uid, facts } = await this.#incarnations.mint(kind, name, (last) => ({ after: last?.facts.last ?? 0 }), signal);
      const revision = firstRevision(name, facts);
      // A hint without a schedule is harmless, but a schedule without a hint would never be listed.
      await this.#index(name).add(idOf(name), uid, signal);
      const creation = { revision, request_id: requestId, spec_sha256: digest };
      const first = { name, uid, revision, previous: '', spec, deleted: false, creation, updates: [], creator };
      const record = await this.#append(first, signal);
      if (record === undefined) continue; // Another create won: its record is looked at next.
      // Others may have created and deleted the schedule meanwhile.
      if ((await this.#incarnations.newest(name, signal))?.uid !== uid) continue;
      await this.#incarnations.sweep(name, signal);
      return record;
    }
    throw new Aborted(kind, name, 'other writers changed it at the same time, repeatedly: try again');
  }

  /**
   * Appends the revision that `change` makes from the newest one, which must have the etag if one is given. Returns the newest revision if its spec
   * is equal, and the earlier one if the update was made before.
   * @throws NotFound; Aborted if the etag is stale; AlreadyExists if the request id was used for another update
   */
  async append(
    name: string,
    { etag, requestId, digest, creator }: UpdateRequest,
    change: (newest: RevisionRecord) => StoredDropSchedule,
    signal: AbortSignal,
  ): Promise<{ readonly record: RevisionRecord; readonly stored: boolean }> {
    const decide: Change = (newest) => {
      const earlier = requestId === '' ? undefined : newest.updates.find(({ request_id }) => request_id === requestId);
      if (earlier !== undefined) {
        if (earlier.digest === digest) return { revision: earlier.revision };
        const why = `the request id ${requestId} was used for another update, which stored revision ${earlier.revision}`;
        throw new AlreadyExists(kind, name, why);
      }
      checkEtag(kind, name, etag, etagOf(newest));
      const spec = change(newest);
      if (specDigest(spec) === specDigest(newest.spec)) return { revision: newest.revision };
      const update = { request_id: requestId, revision: newest.revision + 1, digest };
      const updates = requestId === '' ? newest.updates : [...newest.updates, update].slice(-rememberedUpdates);
      return { spec, deleted: false, updates, creator };
    };
    return await this.#change(name, decide, signal);
  }

  /** Deletes a schedule, also one that is damaged. @throws NotFound; Aborted if an etag is given that is not the newest revision's */
  async delete(name: string, etag: string, signal: AbortSignal): Promise<void> {
    const incarnation = await readOrDamage(() => this.#incarnations.newestWhole(name, signal));
    if (incarnation === undefined && (await this.#incarnations.removeLayoutOf01(name, signal))) return;
    if (isDamage(incarnation)) return await this.#deleteUnread(name, signal);
    const newest = await readOrDamage(() => this.newest(name, signal));
    if (isDamage(newest)) {
      refuseUnreadableEtag(kind, name, etag, newest.damage);
      await this.#bury(await this.#appendUnread(name, incarnation!, signal), signal);
      return;
    }
    const decide: Change = (newest) => {
      checkEtag(kind, name, etag, etagOf(newest));
      return { spec: newest.spec, deleted: true, updates: newest.updates };
    };
    const { record: last } = await this.#change(name, decide, signal);
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
    return (await this.#series.pair({ name, uid: newest.uid, revision }, signal))[0];
  }

  /**
   * The newest revision of the schedule that has the name now or had it last; it is marked as deleted if the schedule is. Undefined if there never was
   * one. @throws FailedPrecondition if version 0.1 stored it; DataLoss
   */
  async newest(name: string, signal: AbortSignal): Promise<RevisionRecord | undefined> {
    const incarnation = await this.#incarnations.newestWhole(name, signal);
    if (incarnation === undefined) await this.#incarnations.refuseLayoutOf01(kind, name, signal);
    return incarnation && (await this.#series.newest(name, incarnation, signal));
  }

  /** Number of the newest revision of one incarnation; Infinity if the name belongs to another one by now. */
  async newestNumber(name: string, uid: string, signal: AbortSignal): Promise<number> {
    const incarnation = await this.#incarnations.newest(name, signal);
    if (incarnation?.uid !== uid) return Number.POSITIVE_INFINITY;
    return (await this.#series.newest(name, incarnation, signal))?.revision ?? 0;
  }

  /** A revision that exists, which may be the one that marks a deletion. @throws DataLoss if it is missing, or damaged, or the one before is another */
  async revision(at: RevisionKey, signal: AbortSignal): Promise<RevisionRecord> {
    return await this.#series.linked(at, signal);
  }

  /** One page of the schedules of a project that are not deleted, in ascending order of their ids. */
  async list(project: string, page: Page, binding: string, signal: AbortSignal): Promise<ListedPage<RevisionRecord>> {
    const impatient = KeptItems.impatience();
    const nameOf = ({ id }: NamedEntry): string => formatName('schedule', { project, schedule: id });
    const options = { after: page.after, first: page.size + 1, impatient };
    const first = this.#index(formatName('project', { project })).entries(options, signal);
    const { items, ...rest } = await listPage({
      keys: this.#of01.merge(project, page.after, first, signal),
      nameOf,
      placeOf: ({ id }) => id,
      read: (entry) => this.#listed.get(listedKey({ name: nameOf(entry), uid: entry.uid ?? '' }), signal, impatient),
      bytesOf: ({ record }) => longestSchedule + Buffer.byteLength(record.creator ?? ''),
      page,
      binding,
    });
    return { items: items.map(({ record }) => record), ...rest };
  }

  /** Ends what goes on in the background. */
  close(): void {
    this.#listed.close();
    this.#of01.close();
  }

  /** Most schedules have not changed since they were kept, which one request shows. */
  async #readListed(key: string, kept: ListedSchedule | undefined, signal: AbortSignal): Promise<ListedSchedule | undefined> {
    const [name = '', uid = ''] = key.split(' ');
    if (uid === '') {
      if (!(await this.#incarnations.isOfLayout01(name, signal))) return undefined;
      throw new FailedPrecondition(kind, name, layoutOf01);
    }
    if (kept && performance.now() - kept.readMs < fullLookMs) {
      if (!(await this.#series.has({ name, uid, revision: kept.number + 1 }, signal))) return kept;
    }
    const incarnation = await this.#incarnations.newestWhole(name, signal);
    if (incarnation === undefined || incarnation.uid !== uid || incarnation.deleted) return undefined;
    const record = await this.#series.newest(name, incarnation, signal);
    return record === undefined || record.deleted ? undefined : listedSchedule(record);
  }

  async #change(name: string, change: Change, signal: AbortSignal): Promise<{ record: RevisionRecord; stored: boolean }> {
    for (let attempt = 1; attempt <= writeAttempts; attempt++) {
      const newest = await this.newest(name, signal);
      if (newest === undefined || newest.deleted) throw new NotFound(kind, name);
      const { uid, revision, creation } = newest;
      const decided = change(newest);
      if ('revision' in decided)
        return { record: await this.#series.read({ name, uid, revision: decided.revision }, signal), stored: false };
      const record = await this.#append({ name, uid, revision: revision + 1, previous: digestOf(newest), ...decided, creation }, signal);
      if (record === undefined) continue;
      // The schedule may have been deleted, and its revisions removed, since the newest one was read.
      if ((await this.#incarnations.newest(name, signal))?.uid !== uid) throw new NotFound(kind, name);
      return { record, stored: true };
    }
    throw new Aborted(kind, name, 'other writers changed it at the same time, repeatedly: try again');
  }

  /** Writes the tombstone of a schedule whose last revision marks its deletion. The next schedule of this name continues the numbers. */
  async #bury({ name, uid, revision }: RevisionRecord, signal: AbortSignal): Promise<void> {
    await this.#incarnations.bury(name, uid, { last: revision }, signal);
    this.#listed.expire(listedKey({ name, uid }));
    await this.#index(name).remove(idOf(name), uid, signal);
  }

  /** Appends the revision that marks the deletion after the newest one, without reading any. */
  async #appendUnread(name: string, { uid, facts }: Incarnation, signal: AbortSignal): Promise<RevisionRecord> {
    for (let attempt = 1; attempt <= writeAttempts; attempt++) {
      const last = Math.max(Number(facts.after ?? 0), await this.#series.lastNumber({ name, uid }, signal));
      const creation = { revision: last + 1, request_id: '', spec_sha256: '' };
      const record = await this.#append(
        { name, uid, revision: last + 1, previous: '', spec: unreadSpec, deleted: true, creation, updates: [] },
        signal,
      );
      if (record !== undefined) return record;
    }
    throw new Aborted(kind, name, 'other writers changed it at the same time, repeatedly: try again');
  }

  /** Deletes a schedule of which it cannot even be read which uid it has. */
  async #deleteUnread(name: string, signal: AbortSignal): Promise<void> {
    const index = this.#index(name);
    const uids = await index.uidsOf(idOf(name), signal);
    let last = 0;
    for (const uid of uids) last = Math.max(last, await this.#series.lastNumber({ name, uid }, signal));
    await this.#incarnations.buryDamaged(name, { last, unread: true }, signal);
    for (const uid of uids) {
      this.#listed.expire(listedKey({ name, uid }));
      await index.remove(idOf(name), uid, signal);
    }
  }

  /** @returns undefined if another writer took the number */
  async #append(revision: NewRevision, signal: AbortSignal): Promise<RevisionRecord | undefined> {
    const record = await this.#series.append(revision, signal);
    if (record === undefined) return undefined;
    if (!record.deleted) this.#listed.saw(listedKey(record), listedSchedule(record));
    this.#onRevision(record, record.revision);
    return record;
  }

  #index(name: string): NameIndex {
    const folder = name.split('/').slice(0, 2).join('/');
    return this.#indexes.getOrMake(folder, () => new NameIndex(this.#store, `${folder}/index/schedules`, `${folder}/schedule-index`));
  }
}

const idOf = (name: string): string => parseName('schedule', name).schedule;

const listedKey = ({ name, uid }: ScheduleKey): string => `${name} ${uid}`;

const listedSchedule = (record: RevisionRecord): ListedSchedule => ({
  uid: record.uid,
  number: record.revision,
  isFinal: false,
  readMs: performance.now(),
  record,
});

/** Stands where the spec of a schedule cannot be read; a revision that marks a deletion is never used. */
const unreadSpec = toStored(
  DropScheduleSpec.fromPartial({ kind: DropKind.DROPOUT, mode: DropMode.STANDARD, schedule: DropSchedule.CONSTANT }),
);
