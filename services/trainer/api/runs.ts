/** Reads and writes runs in the store, for the api role. It has no state but caches of logs, which only grow. */

import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { formatName } from '#errors/resource-names.js';
import { type CreatedRecord, Run, type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { fullLookMs } from '#rpc/kept-items.js';
import { damageOf, isDamage, type ListedPage, readOrDamage } from '#rpc/list-page.js';
import { checkRepeated } from '#rpc/request-id.js';
import { wait } from '#rpc/retry.js';
import type { ObjectStore } from '#storage/object-store.js';
import { noPatience } from '#work/folded-log.js';
import { Incarnations, layoutOf01 } from '#work/incarnations.js';
import { type NamedEntry, NameIndex } from '#work/name-index.js';
import type { NamedCheckpoint } from '#work/named-checkpoints.js';
import type { QueueIndex } from '#work/queue-index.js';
import { pinFinetune, unpinFinetune } from '../run/finetune-pin.js';
import { type EventBody, openRunLog, type RunKey, type RunLog, recordLog, recordOf, runName, runQueue } from '../run/run-log.js';
import { hasEnded, type RunView } from '../run/run-state.js';
import { type ListedRun, listedRun, RunIndex, type RunQuery } from './run-index.js';
import { RunWatches } from './run-watches.js';

/** Largest number of cached logs, of which only new records have to be read. */
const keptLogs = 256;
/** Number of projects whose index is kept. */
const keptIndexes = 256;
/** Number of times that a run may be deleted while it is being created. */
const createAttempts = 5;
const kind = 'run';

export interface RunsOptions {
  readonly store: ObjectStore;
  /** Milliseconds between checks of a watched log. */
  readonly watchPollMs: number;
  /** Called when a watched log could not be read for the moment. */
  readonly onError: (error: unknown) => void;
}

export class Runs {
  readonly #store: ObjectStore;
  readonly #queue: QueueIndex;
  readonly #incarnations: Incarnations;
  readonly #listed: RunIndex;
  readonly #watches: RunWatches;
  readonly #pollMs: number;
  readonly #indexes = new RecentMap<string, NameIndex>(keptIndexes);
  /** By uid. */
  readonly #logs = new RecentMap<string, RunLog>(keptLogs);

  constructor({ store, watchPollMs, onError }: RunsOptions) {
    this.#store = store;
    this.#queue = runQueue(store);
    this.#pollMs = watchPollMs;
    this.#incarnations = new Incarnations(store);
    this.#listed = new RunIndex({
      entries: (project, options, signal) => this.#index(project).entries(options, signal),
      read: (project, entry, kept, signal) => this.#readListed(project, entry, kept, signal),
    });
    this.#watches = new RunWatches({ pollMs: watchPollMs, onError });
  }

  /**
   * Stores and queues a run, or returns the one that an earlier request created which this one repeats. A crash before the log's first record leaves a
   * name that shows nowhere, and that the next call continues with.
   * @throws AlreadyExists if the id is in use; FailedPrecondition if version 0.1 stored a run of this name
   */
  async create(
    project: string,
    id: string,
    record: CreatedRecord,
    signal: AbortSignal,
    /** The checkpoint whose weights the run starts with. */
    finetune?: NamedCheckpoint,
  ): Promise<RunView> {
    const name = runName(project, id);
    for (let attempt = 1; attempt <= createAttempts; attempt++) {
      if ((await this.#incarnations.newest(name, signal))?.deleted) await this.#incarnations.sweep(name, signal);
      const { uid, facts } = await this.#incarnations.mint(kind, name, () => ({}), signal);
      if (facts.imported === true) throw new AlreadyExists(kind, name, 'it holds imported weights');
      const begun = await this.#begin({ project, id, uid }, record, finetune, signal);
      // The run may have been deleted between its uid and its first record.
      if (begun === undefined || !(await this.#incarnations.isCurrent(name, uid, signal))) continue;
      const { view, ours } = begun;
      const earlier = { requestId: view.requestId, digest: view.specDigest, time: view.run.createTime };
      const request = { requestId: record.requestId, digest: record.specDigest };
      if (!ours) checkRepeated(kind, name, earlier, request, { same: 'the same spec and labels', other: 'another spec or other labels' });
      this.#listed.saw(project, id, view);
      return view;
    }
    throw new Aborted(kind, name, 'it was deleted while it was being created, repeatedly: try again');
  }

  /** Writes the first record unless there is one. @returns undefined if the incarnation was deleted meanwhile */
  async #begin(
    key: RunKey,
    record: CreatedRecord,
    finetune: NamedCheckpoint | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly view: RunView; readonly ours: boolean } | undefined> {
    const log = this.#log(key);
    return await this.#whileCurrent(key, signal, async () => {
      // Hints are written before the log: a hint without a log is harmless, but a log without a hint would never be found.
      if ((await log.refresh(signal)) === undefined) {
        await this.#index(key.project).add(key.id, key.uid, signal);
        await this.#queue.add(key, signal);
        if (finetune) await pinFinetune(this.#store, finetune, key.uid, signal);
      }
      const run = record.run && { ...record.run, uid: key.uid };
      const first: EventBody = { $case: 'created', value: { ...record, run } };
      let ours = false;
      const view = await log.append((now) => {
        ours = now === undefined;
        return ours ? { body: first } : undefined;
      }, signal);
      return { view: view as RunView, ours };
    });
  }

  /** @throws NotFound; FailedPrecondition if version 0.1 stored it */
  async get(project: string, id: string, signal: AbortSignal): Promise<RunView> {
    const { view } = await this.#find(project, id, signal);
    return view;
  }

  /** One page of the runs of a project. @throws ResourceExhausted */
  async list(project: string, query: RunQuery, signal: AbortSignal): Promise<ListedPage<Run>> {
    return await this.#listed.list(project, query, signal);
  }

  /**
   * Appends the event that `decide` returns for the newest view, if any.
   * @throws NotFound, and what `decide` throws
   */
  async change(project: string, id: string, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    const { key } = await this.#find(project, id, signal);
    const view = await this.#append(key, decide, signal);
    if (hasEnded(view.run.state)) await unpinFinetune(this.#store, view, signal);
    return view;
  }

  /**
   * Ends a run as `change` does. A log that is damaged gets the record too, after the newest one that it has: whoever reads on from there stops, and
   * the run leaves the queue.
   */
  async cancel(project: string, id: string, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<Run> {
    try {
      return (await this.change(project, id, decide, signal)).run;
    } catch (error) {
      const damage = damageOf(error);
      if (!(error instanceof FailedPrecondition) && damage !== undefined) return await this.#cancelDamaged(project, id, damage, signal);
      throw error;
    }
  }

  async #cancelDamaged(project: string, id: string, damage: string, signal: AbortSignal): Promise<Run> {
    const name = runName(project, id);
    const { uid } = await this.#incarnations.current(kind, name, signal);
    const key = { project, id, uid };
    const body: EventBody = { $case: 'state', value: { state: RunState.CANCELLED, reason: damage, released: false } };
    const record = recordOf({ body });
    await recordLog(this.#store, key).appendToDamaged(record.kind, record.payload, { signal });
    await this.#queue.remove(key, signal);
    this.#listed.changed(project, key);
    return Run.fromPartial({ name, uid, state: RunState.CANCELLED, failure: damage });
  }

  /**
   * Queues a run again with the event that `decide` returns. While the run's worker is about to pause it, waits until the worker has stopped.
   * @throws NotFound, what `decide` throws, and the signal's reason
   */
  async requeue(project: string, id: string, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    for (;;) {
      const { key, view: before } = await this.#find(project, id, signal);
      if (!isPausing(before.run)) {
        await this.#queue.add(key, signal);
        const view = await this.#append(key, decide, signal);
        // In between, a worker may have removed the hint, because the run was still paused.
        if (view.run.state === RunState.QUEUED) await this.#queue.add(key, signal);
        if (!isPausing(view.run)) return view;
      }
      await wait(this.#pollMs, signal);
    }
  }

  /**
   * Deletes a run that has ended, or that is damaged, and all of its objects. The tombstone is first: from then on the run does not exist, and what a crash leaves behind
   * is removed by the next call for this name.
   * @throws NotFound; Aborted for a stale etag; FailedPrecondition if the run has not ended
   */
  async delete(project: string, id: string, etag: string, signal: AbortSignal): Promise<void> {
    const name = runName(project, id);
    const newest = await readOrDamage(() => this.#incarnations.newest(name, signal));
    if (newest === undefined) return await this.#deleteOf01(project, id, signal);
    if (isDamage(newest)) {
      await this.#incarnations.buryDamaged(name, {}, signal);
      for (const uid of await this.#index(project).uidsOf(id, signal)) await this.#forget({ project, id, uid }, signal);
      return await this.#incarnations.sweep(name, signal);
    }
    const key = { project, id, uid: newest.uid };
    let gone = newest.deleted;
    if (!gone) {
      // An imported run has no log.
      const view = await readOrDamage(() => this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal)));
      if (isDamage(view)) {
        if (etag !== '') throw new Aborted(kind, name, `its etag cannot be read (${view.damage}): delete it without one`);
      } else if (view !== undefined) {
        if (etag !== '' && etag !== view.run.etag)
          throw new Aborted(kind, name, `etag ${etag.slice(0, 64)} is stale, the newest is ${view.run.etag}`);
        if (!hasEnded(view.run.state)) throw new FailedPrecondition(kind, name, 'it has not ended: cancel it first');
      }
      gone = !(await this.#incarnations.bury(name, newest.uid, {}, signal));
    }
    await this.#forget(key, signal);
    await this.#incarnations.sweep(name, signal);
    if (gone) throw new NotFound(kind, name);
  }

  /** Removes the hints to a run that is deleted. */
  async #forget(key: RunKey, signal: AbortSignal): Promise<void> {
    this.#logs.delete(key.uid);
    this.#listed.changed(key.project, key);
    await this.#index(key.project).remove(key.id, key.uid, signal);
    await this.#queue.remove(key, signal);
  }

  /** Number of runs that wait for a worker, by which workers can be scaled. Runs that are damaged are not counted. */
  async waiting(signal: AbortSignal): Promise<number> {
    return await this.#listed.count(await this.#queue.entries(signal), RunState.QUEUED, signal);
  }

  /**
   * Yields the events after a sequence, then new ones as they are written; ends after the event that ends the run. All who watch one run share one
   * reader of its log. @throws NotFound; ResourceExhausted
   */
  async *watch(key: RunKey, after: number, signal: AbortSignal): AsyncGenerator<RunEvent, void, void> {
    const name = runName(key.project, key.id);
    const isCurrent = (of: AbortSignal): Promise<boolean> => this.#incarnations.isCurrent(name, key.uid, of);
    const gone = (): NotFound => new NotFound(kind, name);
    const { run } = await this.get(key.project, key.id, signal);
    if (run.uid !== key.uid) throw gone();
    const watched = {
      key: key.uid,
      log: recordLog(this.#store, key),
      newest: Number(run.logSequence),
      ended: hasEnded(run.state),
      check: async (of: AbortSignal) => {
        if (!(await isCurrent(of))) throw gone();
      },
    };
    try {
      yield* this.#watches.events(watched, after, signal);
    } catch (error) {
      // A log that is being deleted looks damaged.
      if (signal.aborted || damageOf(error) === undefined || (await isCurrent(signal))) throw error;
      throw gone();
    }
  }

  /** Ends what goes on in the background. Watches end by their own signals. */
  close(): void {
    this.#listed.close();
    this.#watches.close();
  }

  /** Most runs have not changed since they were kept, which one request shows. */
  async #readListed(
    project: string,
    { id, uid }: NamedEntry,
    kept: ListedRun | undefined,
    signal: AbortSignal,
  ): Promise<ListedRun | undefined> {
    const name = runName(project, id);
    if (uid === undefined) throw new FailedPrecondition(kind, name, layoutOf01);
    const key = { project, id, uid };
    if (kept && performance.now() - kept.readMs < fullLookMs) {
      if (kept.isFinal || !(await recordLog(this.#store, key).has(kept.number + 1, { signal }))) return kept;
    }
    if (!(await this.#incarnations.isCurrent(name, uid, signal))) return undefined;
    return await this.#whileCurrent(key, signal, async () => {
      // Lists of many runs must not displace the logs that calls use.
      const found = await (this.#logs.get(uid) ?? openRunLog(this.#store, key)).refresh(signal);
      return found && listedRun(id, found);
    });
  }

  async #append(key: RunKey, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    const view = await this.#whileCurrent(key, signal, () =>
      this.#log(key).append((now) => {
        const body = decide(now as RunView);
        return body && { body };
      }, signal),
    );
    if (view === undefined) throw new NotFound(kind, runName(key.project, key.id));
    this.#listed.saw(key.project, key.id, view);
    return view;
  }

  async #find(project: string, id: string, signal: AbortSignal): Promise<{ key: RunKey; view: RunView }> {
    const name = runName(project, id);
    const { uid } = await this.#incarnations.current(kind, name, signal);
    const key = { project, id, uid };
    const view = await this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal));
    if (view === undefined) throw new NotFound(kind, name);
    this.#listed.saw(project, id, view);
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
    return this.#logs.getOrMake(key.uid, () => openRunLog(this.#store, key, noPatience));
  }

  #index(project: string): NameIndex {
    const folder = formatName('project', { project });
    return this.#indexes.getOrMake(project, () => new NameIndex(this.#store, `${folder}/index/runs`, `${folder}/run-index`));
  }
}

/** True from PauseRun until the worker has stopped. */
const isPausing = ({ state, pauseRequested }: Run): boolean => state === RunState.RUNNING && pauseRequested;
