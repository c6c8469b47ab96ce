/**
 * The logs of runs or evaluations as their api role uses them: finds the log of the incarnation that a name belongs to, and creates, appends and
 * deletes so that a crash between any two writes is harmless (see incarnations.ts). It has no state but caches, which only grow.
 */
import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, FailedPrecondition, NotFound } from '#errors/errors.js';
import { formatName } from '#errors/resource-names.js';
import { checkEtag, refuseUnreadableEtag } from '#rpc/etag.js';
import { fullLookMs, type KeptItem } from '#rpc/kept-items.js';
import { isDamage, readOrDamage } from '#rpc/list-page.js';
import type { JsonObject } from '#storage/log-record.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { RecordLog } from '#storage/record-log.js';
import { type FoldedLog, noPatience, type StorePatience } from './folded-log.js';
import { Incarnations, layoutOf01 } from './incarnations.js';
import { type NamedEntry, NameIndex } from './name-index.js';
import type { Place } from './queue-hints.js';
import type { QueueEntry, QueueIndex } from './queue-index.js';
import { type QueuedKind, removeFromQueue01 } from './queue-of-01.js';

/** Largest number of cached logs, of which only new records have to be read. */
const keptLogs = 256;
/** Number of projects whose index is kept. */
const keptIndexes = 256;
/** Number of times that something may be deleted while it is being created. */
const createAttempts = 5;

export interface IncarnatedLogsOptions<E, V> {
  readonly store: ObjectStore;
  /** For errors, and for the names of the index. */
  readonly kind: QueuedKind;
  readonly nameOf: (project: string, id: string) => string;
  readonly openLog: (key: QueueEntry, patience?: StorePatience) => FoldedLog<E, V>;
  readonly recordLog: (key: QueueEntry) => RecordLog;
  readonly queue: QueueIndex;
  readonly etagOf: (view: V) => string;
  readonly hasEnded: (view: V) => boolean;
  readonly isWaiting: (view: V) => boolean;
  /** Where the work stands in the queue; the same for all views of it. */
  readonly place: (view: V) => Place;
  /** Called with every state that a call has read or written. */
  readonly saw: (key: QueueEntry, view: V) => void;
  /** Called when what was seen is no longer right, and the new state is not known. */
  readonly expire: (key: QueueEntry) => void;
}

export interface Creation<E> {
  /** The first record of the log. */
  readonly first: (key: QueueEntry) => E;
  /** Writes what must exist before a worker can claim the log. */
  readonly prepare: (key: QueueEntry) => Promise<void>;
  /** May throw because of what is remembered of the incarnation that has the name. */
  readonly check?: (facts: JsonObject) => void;
}

export class IncarnatedLogs<E, V> {
  readonly incarnations: Incarnations;
  readonly #options: IncarnatedLogsOptions<E, V>;
  readonly #indexes = new RecentMap<string, NameIndex>(keptIndexes);
  /** By uid. */
  readonly #logs = new RecentMap<string, FoldedLog<E, V>>(keptLogs);

  constructor(options: IncarnatedLogsOptions<E, V>) {
    this.#options = options;
    this.incarnations = new Incarnations(options.store);
  }

  /**
   * Writes the first record and queues the work, unless the name is in use: then `ours` is false. A crash before the first record leaves a name that
   * shows nowhere, and that the next call continues with.
   * @throws FailedPrecondition if version 0.1 stored something of this name
   */
  async create(
    project: string,
    id: string,
    creation: Creation<E>,
    signal: AbortSignal,
  ): Promise<{ readonly key: QueueEntry; readonly view: V; readonly ours: boolean }> {
    const { kind, nameOf } = this.#options;
    const name = nameOf(project, id);
    for (let attempt = 1; attempt <= createAttempts; attempt++) {
      if ((await this.incarnations.newest(name, signal))?.deleted) await this.incarnations.sweep(name, signal);
      const { uid, facts } = await this.incarnations.mint(kind, name, () => ({}), signal);
      creation.check?.(facts);
      const key = { project, id, uid };
      const begun = await this.#begin(key, creation, signal);
      // It may have been deleted between its uid and its first record.
      if (begun !== undefined && (await this.incarnations.isCurrent(name, uid, signal))) return { key, ...begun };
    }
    throw new Aborted(kind, name, 'it was deleted while it was being created, repeatedly: try again');
  }

  /** Writes the first record unless there is one. @returns undefined if the incarnation was deleted meanwhile */
  async #begin(
    key: QueueEntry,
    { first, prepare }: Creation<E>,
    signal: AbortSignal,
  ): Promise<{ readonly view: V; readonly ours: boolean } | undefined> {
    const log = this.#log(key);
    return await this.#whileCurrent(key, signal, async () => {
      // Hints are written before the log: a hint without a log is harmless, but a log without a hint would never be found.
      if ((await log.refresh(signal)) === undefined) {
        await this.index(key.project).add(key.id, key.uid, signal);
        await this.#options.queue.add(key, signal);
        await prepare(key);
      }
      let ours = false;
      const view = await log.append((now) => {
        ours = now === undefined;
        return ours ? first(key) : undefined;
      }, signal);
      await this.hint(key, view as V, signal);
      return { view: view as V, ours };
    });
  }

  /** @throws NotFound; FailedPrecondition if version 0.1 stored it */
  async find(project: string, id: string, signal: AbortSignal): Promise<{ readonly key: QueueEntry; readonly view: V }> {
    const { kind, nameOf, saw } = this.#options;
    const name = nameOf(project, id);
    const { uid } = await this.incarnations.current(kind, name, signal);
    const key = { project, id, uid };
    const view = await this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal));
    if (view === undefined) throw new NotFound(kind, name);
    saw(key, view);
    return { key, view };
  }

  /** Appends the record that `decide` returns for the newest view, if any. @throws NotFound, and what `decide` throws */
  async append(key: QueueEntry, decide: (view: V) => E | undefined, signal: AbortSignal): Promise<V> {
    const { kind, nameOf, saw, isWaiting, place, queue } = this.#options;
    let waited = false;
    const append = () =>
      this.#log(key).append((now) => {
        waited = isWaiting(now as V);
        return decide(now as V);
      }, signal);
    const view = await this.#whileCurrent(key, signal, append);
    if (view === undefined) throw new NotFound(kind, nameOf(key.project, key.id));
    saw(key, view);
    // Workers that read it on would remove it too.
    if (waited && !isWaiting(view)) await queue.hints.remove('claim', key, place(view), signal);
    return view;
  }

  /** Lets workers find work that waits. The hint comes after the record, because one that points to no waiting work is removed. */
  async hint(key: QueueEntry, view: V, signal: AbortSignal): Promise<void> {
    const { isWaiting, place, queue } = this.#options;
    if (isWaiting(view)) await queue.hints.add('claim', key, place(view), signal);
  }

  /** Ends work whose log is damaged with a last record, after the newest one that the log has; nothing is read. @returns the key of its log */
  async endDamaged(
    project: string,
    id: string,
    { kind, payload }: { readonly kind: string; readonly payload: JsonObject },
    signal: AbortSignal,
  ): Promise<QueueEntry> {
    const { uid } = await this.incarnations.current(this.#options.kind, this.#options.nameOf(project, id), signal);
    const key = { project, id, uid };
    await this.#options.recordLog(key).appendToDamaged(kind, payload, { signal });
    await this.#options.queue.remove(key, signal);
    this.#options.expire(key);
    return key;
  }

  /**
   * Deletes what has ended, or is damaged, with all of its objects. The tombstone is first: from then on it does not exist, and what a crash leaves
   * behind is removed by the next call for this name.
   * @param release is called before the tombstone with what has ended
   * @throws NotFound; Aborted for a stale etag; FailedPrecondition if it has not ended
   */
  async delete(
    project: string,
    id: string,
    etag: string,
    signal: AbortSignal,
    release?: (key: QueueEntry, view: V) => Promise<void>,
  ): Promise<void> {
    const { kind, nameOf, etagOf, hasEnded } = this.#options;
    const name = nameOf(project, id);
    const newest = await readOrDamage(() => this.incarnations.newestWhole(name, signal));
    if (newest === undefined) return await this.#deleteOf01(project, id, signal);
    if (isDamage(newest)) {
      await this.incarnations.buryDamaged(name, {}, signal);
      for (const uid of await this.index(project).uidsOf(id, signal)) await this.#forget({ project, id, uid }, signal);
      return await this.incarnations.sweep(name, signal);
    }
    const key = { project, id, uid: newest.uid };
    let gone = newest.deleted;
    if (!gone) {
      // An imported run has no log.
      const view = await readOrDamage(() => this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal)));
      if (isDamage(view)) refuseUnreadableEtag(kind, name, etag, view.damage);
      else if (view !== undefined) {
        checkEtag(kind, name, etag, etagOf(view));
        if (!hasEnded(view)) throw new FailedPrecondition(kind, name, 'it has not ended: cancel it first');
        await release?.(key, view);
      }
      gone = !(await this.incarnations.bury(name, newest.uid, {}, signal));
    }
    await this.#forget(key, signal);
    await this.incarnations.sweep(name, signal);
    if (gone) throw new NotFound(kind, name);
  }

  /** Reads what a list shows; undefined if it does not exist. Most have not changed since they were kept, which one request shows. */
  async readListed<T extends KeptItem>(
    { project, id, uid }: NamedEntry & { readonly project: string },
    kept: T | undefined,
    listed: (view: V) => T,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    const { kind, nameOf, openLog, recordLog } = this.#options;
    const name = nameOf(project, id);
    if (uid === undefined) throw new FailedPrecondition(kind, name, layoutOf01);
    const key = { project, id, uid };
    if (kept && performance.now() - kept.readMs < fullLookMs) {
      if (kept.isFinal || !(await recordLog(key).has(kept.number + 1, { signal }))) return kept;
    }
    const newest = await this.incarnations.newestWhole(name, signal);
    if (newest?.uid !== uid || newest.deleted) return undefined;
    return await this.#whileCurrent(key, signal, async () => {
      // Lists of many must not displace the logs that calls use.
      const view = await (this.#logs.get(uid) ?? openLog(key)).refresh(signal);
      return view && listed(view);
    });
  }

  /** The result of `read`; undefined if it failed because the incarnation was deleted, whose log looks damaged while it is being removed. */
  async #whileCurrent<T>({ project, id, uid }: QueueEntry, signal: AbortSignal, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (signal.aborted || (await this.incarnations.isCurrent(this.#options.nameOf(project, id), uid, signal))) throw error;
      this.#logs.delete(uid);
      return undefined;
    }
  }

  index(project: string): NameIndex {
    const { store, kind } = this.#options;
    const folder = formatName('project', { project });
    return this.#indexes.getOrMake(project, () => new NameIndex(store, `${folder}/index/${kind}s`, `${folder}/${kind}-index`));
  }

  /** Removes the hints to what is deleted. */
  async #forget(key: QueueEntry, signal: AbortSignal): Promise<void> {
    this.#logs.delete(key.uid);
    this.#options.expire(key);
    await this.index(key.project).remove(key.id, key.uid, signal);
    await this.#options.queue.remove(key, signal);
  }

  async #deleteOf01(project: string, id: string, signal: AbortSignal): Promise<void> {
    const { store, kind, nameOf } = this.#options;
    const name = nameOf(project, id);
    const found = await this.incarnations.removeLayoutOf01(name, signal);
    const queued = await removeFromQueue01(store, kind, project, id, signal);
    await this.index(project).removeOf01(id, signal);
    if (!found && !queued) throw new NotFound(kind, name);
  }

  #log(key: QueueEntry): FoldedLog<E, V> {
    return this.#logs.getOrMake(key.uid, () => this.#options.openLog(key, noPatience));
  }
}
