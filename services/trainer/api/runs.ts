/** Reads and writes runs in the store, for the api role. It has no state but caches of logs, which only grow. */

import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { formatName } from '#errors/resource-names.js';
import type { CreatedRecord, RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { wait } from '#rpc/retry.js';
import type { ObjectStore } from '#storage/object-store.js';
import { Incarnations, layoutOf01 } from '#work/incarnations.js';
import { NameIndex } from '#work/name-index.js';
import type { QueueIndex } from '#work/queue-index.js';
import { type EventBody, eventOf, openRunLog, type RunKey, type RunLog, recordLog, runName, runQueue } from '../run/run-log.js';
import { hasEnded, type RunView } from '../run/run-state.js';

/** Largest number of cached logs, of which only new records have to be read. */
const keptLogs = 256;
/** Number of times that a run may be deleted while it is being created. */
const createAttempts = 5;
const kind = 'run';

export interface RunsOptions {
  readonly store: ObjectStore;
  /** Milliseconds between checks of a watched log. */
  readonly watchPollMs: number;
}

/** A run of a list: either its view, or the reason why it cannot be read. */
export interface ListedRun {
  readonly id: string;
  readonly name: string;
  readonly view?: RunView;
  readonly reason?: string;
}

export class Runs {
  readonly #store: ObjectStore;
  readonly #queue: QueueIndex;
  readonly #incarnations: Incarnations;
  readonly #watchPollMs: number;
  /** By uid. */
  readonly #logs = new RecentMap<string, RunLog>(keptLogs);

  constructor({ store, watchPollMs }: RunsOptions) {
    this.#store = store;
    this.#queue = runQueue(store);
    this.#incarnations = new Incarnations(store);
    this.#watchPollMs = watchPollMs;
  }

  /**
   * Stores and queues a run. If the id exists with the same spec, returns that run. A crash before the log's first record leaves a name that shows
   * nowhere, and that the next call continues with.
   * @throws AlreadyExists for another spec; FailedPrecondition if version 0.1 stored a run of this name
   */
  async create(project: string, id: string, record: CreatedRecord, signal: AbortSignal): Promise<RunView> {
    const name = runName(project, id);
    for (let attempt = 1; attempt <= createAttempts; attempt++) {
      if ((await this.#incarnations.newest(name, signal))?.deleted) await this.#incarnations.sweep(name, signal);
      const { uid, facts } = await this.#incarnations.mint(kind, name, () => ({}), signal);
      if (facts.imported === true) throw new AlreadyExists(kind, name, 'it holds imported weights');
      const view = await this.#begin({ project, id, uid }, record, signal);
      // The run may have been deleted between its uid and its first record.
      if (view === undefined || !(await this.#incarnations.isCurrent(name, uid, signal))) continue;
      if (view.specDigest !== record.specDigest) throw new AlreadyExists(kind, name, 'it was created with another spec');
      return view;
    }
    throw new Aborted(kind, name, 'it was deleted while it was being created, repeatedly: try again');
  }

  /** Writes the first record unless there is one. @returns undefined if the incarnation was deleted meanwhile */
  async #begin(key: RunKey, record: CreatedRecord, signal: AbortSignal): Promise<RunView | undefined> {
    const log = this.#log(key);
    return await this.#whileCurrent(key, signal, async () => {
      // Hints are written before the log: a hint without a log is harmless, but a log without a hint would never be found.
      if ((await log.refresh(signal)) === undefined) {
        await this.#index(key.project).add(key.id, key.uid, signal);
        await this.#queue.add(key, signal);
      }
      const run = record.run && { ...record.run, uid: key.uid };
      const first: EventBody = { $case: 'created', value: { ...record, run } };
      return await log.append((now) => (now === undefined ? { body: first } : undefined), signal);
    });
  }

  /** @throws NotFound; FailedPrecondition if version 0.1 stored it */
  async get(project: string, id: string, signal: AbortSignal): Promise<RunView> {
    const { view } = await this.#find(project, id, signal);
    return view;
  }

  /** At most `limit` runs with ids greater than `after`, in ascending order. */
  async list(project: string, after: string | undefined, limit: number, signal: AbortSignal): Promise<ListedRun[]> {
    const found: ListedRun[] = [];
    for await (const { id, uid } of this.#index(project).entries(after, signal)) {
      const name = runName(project, id);
      if (uid === undefined) found.push({ id, name, reason: layoutOf01 });
      else if (await this.#incarnations.isCurrent(name, uid, signal)) {
        const key = { project, id, uid };
        const view = await this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal));
        if (view !== undefined) found.push({ id, name, view });
      }
      if (found.length === limit) break;
    }
    return found;
  }

  /**
   * Appends the event that `decide` returns for the newest view, if any.
   * @throws NotFound, and what `decide` throws
   */
  async change(project: string, id: string, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    const { key } = await this.#find(project, id, signal);
    return await this.#append(key, decide, signal);
  }

  /** Queues a run again. */
  async requeue(project: string, id: string, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    const { key } = await this.#find(project, id, signal);
    await this.#queue.add(key, signal);
    const view = await this.#append(key, decide, signal);
    // In between, a worker may have removed the hint, because the run was still paused.
    if (view.run.state === RunState.QUEUED) await this.#queue.add(key, signal);
    return view;
  }

  /**
   * Deletes a run that has ended and all of its objects. The tombstone is first: from then on the run does not exist, and what a crash leaves behind
   * is removed by the next call for this name.
   * @throws NotFound; Aborted for a stale etag; FailedPrecondition if the run has not ended
   */
  async delete(project: string, id: string, etag: string, signal: AbortSignal): Promise<void> {
    const name = runName(project, id);
    const newest = await this.#incarnations.newest(name, signal);
    if (newest === undefined) return await this.#deleteOf01(project, id, signal);
    const key = { project, id, uid: newest.uid };
    let gone = newest.deleted;
    if (!gone) {
      // An imported run has no log.
      const view = await this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal));
      if (view !== undefined) {
        if (etag !== '' && etag !== view.run.etag)
          throw new Aborted(kind, name, `etag ${etag.slice(0, 64)} is stale, the newest is ${view.run.etag}`);
        if (!hasEnded(view.run.state)) throw new FailedPrecondition(kind, name, 'it has not ended: cancel it first');
      }
      gone = !(await this.#incarnations.bury(name, newest.uid, {}, signal));
    }
    this.#logs.delete(newest.uid);
    await this.#index(project).remove(id, newest.uid, signal);
    await this.#queue.remove(key, signal);
    await this.#incarnations.sweep(name, signal);
    if (gone) throw new NotFound(kind, name);
  }

  /** Number of runs that wait for a worker, by which workers can be scaled. */
  async waiting(signal: AbortSignal): Promise<number> {
    let count = 0;
    for (const entry of await this.#queue.entries(signal)) {
      const view = await this.#whileCurrent(entry, signal, () => this.#log(entry).refresh(signal));
      if (view?.run.state === RunState.QUEUED) count++;
    }
    return count;
  }

  /** Yields the events after a sequence, then new ones as they are written; ends after the event that ends the run. @throws NotFound */
  async *watch(key: RunKey, after: number, signal: AbortSignal): AsyncGenerator<RunEvent, void, void> {
    const log = recordLog(this.#store, key);
    const name = runName(key.project, key.id);
    const gone = (): NotFound => new NotFound(kind, name);
    let cursor = after;
    try {
      // Existing events are read ahead; then the log is polled.
      for await (const record of log.read({ after, signal })) {
        cursor = record.seq;
        yield eventOf(record);
      }
      for (;;) {
        const record = await log.recordAfter(cursor, { signal });
        if (record !== undefined) {
          cursor = record.seq;
          yield eventOf(record);
          continue;
        }
        const { run } = await this.get(key.project, key.id, signal);
        if (run.uid !== key.uid) throw gone();
        if (hasEnded(run.state) && Number(run.logSequence) <= cursor) return;
        if (Number(run.logSequence) <= cursor) await wait(this.#watchPollMs, signal);
      }
    } catch (error) {
      // A log that is being deleted looks damaged.
      if (signal.aborted || error instanceof NotFound || (await this.#incarnations.isCurrent(name, key.uid, signal))) throw error;
      throw gone();
    }
  }

  async #append(key: RunKey, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    const view = await this.#whileCurrent(key, signal, () =>
      this.#log(key).append((now) => {
        const body = decide(now as RunView);
        return body && { body };
      }, signal),
    );
    if (view === undefined) throw new NotFound(kind, runName(key.project, key.id));
    return view;
  }

  async #find(project: string, id: string, signal: AbortSignal): Promise<{ key: RunKey; view: RunView }> {
    const name = runName(project, id);
    const { uid } = await this.#incarnations.current(kind, name, signal);
    const key = { project, id, uid };
    const view = await this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal));
    if (view === undefined) throw new NotFound(kind, name);
    return { key, view };
  }

  /** The result of `read`; undefined if it failed because the incarnation was deleted, whose log looks damaged while it is being removed. */
  async #whileCurrent<T>({ project, id, uid }: RunKey, signal: AbortSignal, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (signal.aborted || (await this.#incarnations.isCurrent(runName(project, id), uid, signal))) throw error;
      this.#logs.delete(uid);
      return undefined;
    }
  }

  async #deleteOf01(project: string, id: string, signal: AbortSignal): Promise<void> {
    const name = runName(project, id);
    const found = await this.#incarnations.removeLayoutOf01(name, signal);
    await this.#index(project).removeOf01(id, signal);
    if (!found) throw new NotFound(kind, name);
  }

  #log(key: RunKey): RunLog {
    return this.#logs.getOrMake(key.uid, () => openRunLog(this.#store, key));
  }

  #index(project: string): NameIndex {
    const folder = formatName('project', { project });
    return new NameIndex(this.#store, `${folder}/index/runs`, `${folder}/run-index`);
  }
}
