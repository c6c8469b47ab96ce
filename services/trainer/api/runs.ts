/** Runs in the store, as the api role sees them: any replica, no state but caches of logs that only grow. */

import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { formatName } from '#errors/resource-names.js';
import type { CreatedRecord, RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { wait } from '#rpc/retry.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import type { QueueIndex } from '#work/queue-index.js';
import { type EventBody, eventOf, openRunLog, type RunLog, recordLog, runPrefix, runQueue } from '../run/run-log.js';
import { hasEnded, type RunView } from '../run/run-state.js';

/** Logs that are read on from where they were, instead of from their snapshot. */
const keptLogs = 256;

export interface RunsOptions {
  readonly store: ObjectStore;
  /** Between looks at a watched log. */
  readonly watchPollMs: number;
}

export class Runs {
  readonly #store: ObjectStore;
  readonly #queue: QueueIndex;
  readonly #watchPollMs: number;
  readonly #logs = new RecentMap<string, RunLog>(keptLogs);

  constructor({ store, watchPollMs }: RunsOptions) {
    this.#store = store;
    this.#queue = runQueue(store);
    this.#watchPollMs = watchPollMs;
  }

  /** Stores and queues a run. The same id with the same spec is the run again. @throws AlreadyExists for another spec */
  async create(project: string, id: string, record: CreatedRecord, signal: AbortSignal): Promise<RunView> {
    const name = runPrefix(project, id);
    const log = this.#log(project, id);
    let view = await log.refresh(signal);
    if (view === undefined && (await this.#hasLeftovers(project, id, signal))) {
      throw new FailedPrecondition('run', name, 'a run of this name is being deleted: finish DeleteRun first');
    }
    // Hints first: without a log they mean nothing, and a log without them would be found by nobody.
    await this.#store.put(indexKey(project, id), Buffer.from('{}'), { signal });
    await this.#queue.add({ project, id }, signal);
    view = await log.append((now) => (now === undefined ? { body: { $case: 'created', value: record } } : undefined), signal);
    if (view === undefined) throw new Error('a created run has a view');
    if (view.specDigest !== record.specDigest) throw new AlreadyExists('run', name, 'it was created with another spec');
    return view;
  }

  /** @throws NotFound */
  async get(project: string, id: string, signal: AbortSignal): Promise<RunView> {
    const view = await this.#log(project, id).refresh(signal);
    // A run that has ended may be deleted and its name used again, by any replica: it is read afresh each time.
    if (view === undefined || hasEnded(view.run.state)) this.#logs.delete(`${project}/${id}`);
    if (view !== undefined) return view;
    throw new NotFound('run', runPrefix(project, id));
  }

  /** At most `limit` runs with ids above `after`, ascending. */
  async list(project: string, after: string | undefined, limit: number, signal: AbortSignal): Promise<RunView[]> {
    const views: RunView[] = [];
    const folder = `${indexFolder(project)}/`;
    for await (const { key } of listAll(this.#store, folder, { signal, after: after === undefined ? undefined : `${folder}${after}` })) {
      const view = await this.#log(project, key.slice(folder.length)).refresh(signal);
      if (view !== undefined) views.push(view);
      if (views.length === limit) break;
    }
    return views;
  }

  /**
   * Appends what `decide` makes of the newest view; nothing where it returns undefined.
   * @throws NotFound, and what `decide` throws
   */
  async change(project: string, id: string, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    const log = this.#log(project, id);
    await this.get(project, id, signal);
    const view = await log.append((now) => {
      const body = decide(now as RunView);
      return body && { body };
    }, signal);
    return view as RunView;
  }

  /** Queues a run again. */
  async requeue(project: string, id: string, decide: (view: RunView) => EventBody | undefined, signal: AbortSignal): Promise<RunView> {
    await this.#queue.add({ project, id }, signal);
    const view = await this.change(project, id, decide, signal);
    // Between the two a worker may have taken the hint away, because the run was still paused.
    if (view.run.state === RunState.QUEUED) await this.#queue.add({ project, id }, signal);
    return view;
  }

  /**
   * Removes a run that has ended with everything it has. The first record goes first, so from then on the run does not exist, and a delete
   * that was cut short is taken up by calling it again.
   * @throws NotFound; Aborted for a stale etag; FailedPrecondition while it can still train
   */
  async delete(project: string, id: string, etag: string, signal: AbortSignal): Promise<void> {
    const name = runPrefix(project, id);
    const view = await this.#log(project, id).refresh(signal);
    if (view === undefined && !(await this.#hasLeftovers(project, id, signal))) throw new NotFound('run', name);
    if (view !== undefined) {
      if (etag !== '' && etag !== view.run.etag)
        throw new Aborted('run', name, `etag ${etag.slice(0, 64)} is stale, the newest is ${view.run.etag}`);
      if (!hasEnded(view.run.state)) throw new FailedPrecondition('run', name, 'it can still train: cancel it first');
    }
    this.#logs.delete(`${project}/${id}`);
    await this.#store.delete(indexKey(project, id), { signal });
    await this.#queue.remove({ project, id }, signal);
    // Snapshots before the log: a view must never come back from one.
    for (const part of ['log-snapshots', 'log', 'heartbeats', 'checkpoints', 'checkpoint-pins']) {
      for await (const { key } of listAll(this.#store, `${name}/${part}/`, { signal })) await this.#store.delete(key, { signal });
    }
  }

  /** How many runs wait for a worker: what workers are scaled on. */
  async waiting(signal: AbortSignal): Promise<number> {
    let count = 0;
    for (const { project, id } of await this.#queue.entries(signal)) {
      const view = await this.#log(project, id).refresh(signal);
      if (view?.run.state === RunState.QUEUED) count++;
    }
    return count;
  }

  /** Events after a sequence, then new ones as they come; ends after the event that ends the run. @throws NotFound */
  async *watch(project: string, id: string, after: number, signal: AbortSignal): AsyncGenerator<RunEvent, void, void> {
    const log = recordLog(this.#store, project, id);
    let cursor = after;
    // What is there already, read ahead; then one look at a time.
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
      const { run } = await this.get(project, id, signal);
      if (hasEnded(run.state) && Number(run.logSequence) <= cursor) return;
      if (Number(run.logSequence) <= cursor) await wait(this.#watchPollMs, signal);
    }
  }

  #log(project: string, id: string): RunLog {
    return this.#logs.getOrMake(`${project}/${id}`, () => openRunLog(this.#store, project, id));
  }

  async #hasLeftovers(project: string, id: string, signal: AbortSignal): Promise<boolean> {
    const { objects } = await this.#store.list(`${runPrefix(project, id)}/`, { limit: 1, signal });
    return objects.length > 0;
  }
}

const indexFolder = (project: string): string => `${formatName('project', { project })}/run-index`;
const indexKey = (project: string, id: string): string => `${indexFolder(project)}/${id}`;
