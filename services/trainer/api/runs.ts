/** Reads and writes runs in the store, for the api role. */
import type { ProjectQuotas } from '#auth/quota.js';
import { AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { type CreatedRecord, Run, type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { listFreshness } from '#rpc/kept-items.js';
import { damageOf, type ListedPage } from '#rpc/list-page.js';
import { checkRepeated } from '#rpc/request-id.js';
import { wait } from '#rpc/retry.js';
import type { ObjectStore } from '#storage/object-store.js';
import { IncarnatedLogs } from '#work/incarnated-logs.js';
import type { NamedEntry } from '#work/name-index.js';
import type { NamedCheckpoint } from '#work/named-checkpoints.js';
import type { QueueEntry, QueueIndex } from '#work/queue-index.js';
import { pinFinetune, unpinFinetune } from '../run/finetune-pin.js';
import {
  type EventBody,
  type EventBodyAt,
  openRunLog,
  placeOf,
  type RunKey,
  recordLog,
  recordOf,
  runName,
  runQueue,
} from '../run/run-log.js';
import { hasEnded, type RunView } from '../run/run-state.js';
import { checkpointBytes } from './checkpoint-bytes.js';
import { listedRun, type QueuedRun, RunIndex, type RunQuery } from './run-index.js';
import { RunQuotas } from './run-quotas.js';
import { RunWatches } from './run-watches.js';

const kind = 'run';
/** See Runs.wanting. */
const msPerRun = 20;

export interface RunsOptions {
  readonly store: ObjectStore;
  /** Milliseconds between checks of a watched log. */
  readonly watchPollMs: number;
  /** Called when a watched log could not be read for the moment. */
  readonly onError: (error: unknown) => void;
  /** Default: none. */
  readonly quotasOf?: (project: string) => ProjectQuotas;
}

export class Runs {
  readonly #store: ObjectStore;
  readonly #queue: QueueIndex;
  readonly #logs: IncarnatedLogs<EventBodyAt, RunView>;
  readonly #listed: RunIndex;
  readonly #watches: RunWatches;
  readonly #pollMs: number;
  readonly quotas: RunQuotas;

  constructor({ store, watchPollMs, onError, quotasOf = () => ({}) }: RunsOptions) {
    this.#store = store;
    this.#queue = runQueue(store);
    this.#pollMs = watchPollMs;
    this.#logs = new IncarnatedLogs({
      store,
      kind,
      nameOf: runName,
      openLog: (key, patience) => openRunLog(store, key, patience),
      recordLog: (key) => recordLog(store, key),
      queue: this.#queue,
      etagOf: ({ run }) => run.etag,
      hasEnded: ({ run }) => hasEnded(run.state),
      isWaiting: ({ run }) => isWaiting(run),
      place: placeOf,
      saw: ({ project, id }, view) => this.#listed.saw(project, id, view),
      expire: (key) => this.#listed.changed(key.project, key),
    });
    this.#listed = new RunIndex({
      entries: (project, options, signal) => this.#logs.index(project).entries(options, signal),
      read: (project, entry, kept, signal) =>
        this.#logs.readListed({ project, ...entry }, kept, (view) => listedRun(entry.id, view), signal),
    });
    this.#watches = new RunWatches({ pollMs: watchPollMs, onError });
    const indexed = async (project: string, signal: AbortSignal): Promise<readonly NamedEntry[]> => {
      const found: NamedEntry[] = [];
      for await (const entry of this.#logs.index(project).entries({}, signal)) found.push(entry);
      return found;
    };
    this.quotas = new RunQuotas({
      quotasOf,
      stored: async (project, signal) => (await indexed(project, signal)).length,
      queued: async (project, signal) => (await this.queued(signal, project)).filter(isWaiting).length,
      checkpointBytes: async (project, signal) => await checkpointBytes(store, project, await indexed(project, signal), signal),
    });
  }

  /**
   * Stores and queues a run, or returns the one that an earlier request created which this one repeats.
   * @throws AlreadyExists if the id is in use; FailedPrecondition if version 0.1 stored a run of this name; ResourceExhausted beyond a quota
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
    const creation = {
      first: ({ uid }: RunKey) => ({
        body: { $case: 'created', value: { ...record, run: record.run && { ...record.run, uid } } } as const,
      }),
      prepare: async ({ uid }: RunKey) => {
        if (finetune) await pinFinetune(this.#store, finetune, uid, signal);
      },
      check: ({ imported }: { readonly imported?: unknown }) => {
        if (imported === true) throw new AlreadyExists(kind, name, 'it holds imported weights');
      },
    };
    const create = () => this.#logs.create(project, id, creation, signal);
    // A repeated request adds nothing. What else is wrong with the name, creating it says.
    const isNew =
      this.quotas.limit(project) &&
      (await this.get(project, id, signal).then(
        () => false,
        (error: unknown) => error instanceof NotFound,
      ));
    const { view, ours } = await (isNew ? this.quotas.add(project, { isStored: false }, signal, create) : create());
    const earlier = { requestId: view.requestId, digest: view.specDigest, time: view.run.createTime };
    const request = { requestId: record.requestId, digest: record.specDigest };
    if (!ours) checkRepeated(kind, name, earlier, request, { same: 'the same spec and labels', other: 'another spec or other labels' });
    this.#listed.saw(project, id, view);
    return view;
  }

  /** @throws NotFound; FailedPrecondition if version 0.1 stored it */
  async get(project: string, id: string, signal: AbortSignal): Promise<RunView> {
    const { view } = await this.#logs.find(project, id, signal);
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
    const { key } = await this.#logs.find(project, id, signal);
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
    const body: EventBody = { $case: 'state', value: { state: RunState.CANCELLED, reason: damage, released: false } };
    const { uid } = await this.#logs.endDamaged(project, id, recordOf({ body }), signal);
    const name = runName(project, id);
    return Run.fromPartial({ name, uid, state: RunState.CANCELLED, failure: damage });
  }

  /**
   * Queues a run again with the event that `decide` returns. While the run's worker is about to pause it, waits until the worker has stopped.
   * @throws NotFound, what `decide` throws, ResourceExhausted beyond a quota, and the signal's reason
   */
  async requeue(project: string, id: string, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    for (;;) {
      const { key, view: before } = await this.#logs.find(project, id, signal);
      if (!isPausing(before.run)) {
        const append = async (): Promise<RunView> => {
          await this.#queue.add(key, signal);
          return await this.#append(key, decide, signal);
        };
        const waits = before.run.state === RunState.PAUSED;
        const view = await (waits ? this.quotas.add(project, { isStored: true }, signal, append) : append());
        // In between, a worker may have removed the hint, because the run was still paused.
        if (isWaiting(view.run)) await this.#queue.add(key, signal);
        await this.#logs.hint(key, view, signal);
        if (!isPausing(view.run)) return view;
      }
      await wait(this.#pollMs, signal);
    }
  }

  /**
   * Deletes a run that has ended, or that is damaged, with all of its objects.
   * @throws NotFound; Aborted for a stale etag; FailedPrecondition if the run has not ended
   */
  async delete(project: string, id: string, etag: string, signal: AbortSignal): Promise<void> {
    await this.#logs.delete(project, id, etag, signal);
  }

  /** Runs that wait for a worker or are trained, of all projects or of one. Runs that are damaged are left out. */
  async queued(signal: AbortSignal, ofProject?: string): Promise<QueuedRun[]> {
    return await this.#working(await this.#queue.entries(signal, ofProject), signal);
  }

  /**
   * The same for the scaler, which asks often: what is known about many runs may be older, so that at most about 50 of them are read again each second.
   * A run that a worker ends leaves the queue, and one that this process changes is known at once; of the others, only one that is paused or cancelled
   * while it waits, through another replica, counts until it is read again.
   */
  async wanting(signal: AbortSignal): Promise<QueuedRun[]> {
    const entries = await this.#queue.entries(signal);
    return await this.#working(entries, signal, Math.max(listFreshness.freshMs, entries.length * msPerRun));
  }

  async #working(entries: readonly QueueEntry[], signal: AbortSignal, ageMs?: number): Promise<QueuedRun[]> {
    return (await this.#listed.present(entries, signal, ageMs)).filter((run) => isWaiting(run) || isTrained(run));
  }

  /**
   * Yields the events after a sequence, then new ones as they are written; ends after the event that ends the run. All who watch one run share one
   * reader of its log. @throws NotFound; ResourceExhausted
   */
  async *watch(key: RunKey, after: number, signal: AbortSignal): AsyncGenerator<RunEvent, void, void> {
    const name = runName(key.project, key.id);
    const isCurrent = (of: AbortSignal): Promise<boolean> => this.#logs.incarnations.isCurrent(name, key.uid, of);
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

  async #append(key: RunKey, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    const bodyOf = (view: RunView): EventBodyAt | undefined => {
      const body = decide(view);
      return body && { body };
    };
    return await this.#logs.append(key, bodyOf, signal);
  }
}

export const isWaiting = ({ state }: Pick<Run, 'state'>): boolean => state === RunState.QUEUED;
export const isTrained = ({ state }: Pick<Run, 'state'>): boolean => state === RunState.RUNNING;

/** True from PauseRun until the worker has stopped. */
const isPausing = ({ state, pauseRequested }: Run): boolean => state === RunState.RUNNING && pauseRequested;
