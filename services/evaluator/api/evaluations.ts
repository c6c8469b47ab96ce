/** Reads and writes evaluations in the store, for the api role. It has no state but caches of logs, which only grow. */

import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { formatName } from '#errors/resource-names.js';
import { type Evaluation, Evaluation as EvaluationMessage, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { wait } from '#rpc/retry.js';
import type { ObjectStore } from '#storage/object-store.js';
import { type Pin, pinCheckpoint, unpinCheckpoint } from '#work/checkpoint-pins.js';
import { Incarnations, layoutOf01 } from '#work/incarnations.js';
import { NameIndex } from '#work/name-index.js';
import type { QueueIndex } from '#work/queue-index.js';
import {
  type EvaluationKey,
  type EvaluationLog,
  evaluationName,
  evaluationQueue,
  openEvaluationLog,
} from '../evaluation/evaluation-log.js';
import { type EvaluationEvent, type EvaluationView, hasEnded } from '../evaluation/evaluation-state.js';
import type { NewEvaluation } from './create-evaluation.js';

const keptLogs = 256;
/** Number of times that an evaluation may be deleted while it is being created. */
const createAttempts = 5;
const kind = 'evaluation';

/** An evaluation of a list: either itself, or the reason why it cannot be read. */
export interface ListedEvaluation {
  readonly id: string;
  readonly name: string;
  readonly evaluation?: Evaluation;
  readonly reason?: string;
}

export class Evaluations {
  readonly #queue: QueueIndex;
  readonly #incarnations: Incarnations;
  /** By uid. */
  readonly #logs = new RecentMap<string, EvaluationLog>(keptLogs);

  constructor(
    private readonly store: ObjectStore,
    /** Milliseconds between checks of a watched log. */
    private readonly watchPollMs: number,
  ) {
    this.#queue = evaluationQueue(store);
    this.#incarnations = new Incarnations(store);
  }

  /**
   * Stores and queues an evaluation. If the id exists with the same spec, returns that one.
   * @throws AlreadyExists for another spec; FailedPrecondition if version 0.1 stored an evaluation of this name
   */
  async create(request: NewEvaluation, signal: AbortSignal): Promise<Evaluation> {
    const { project, id, evaluation, specDigest } = request;
    const { name } = evaluation;
    for (let attempt = 1; attempt <= createAttempts; attempt++) {
      if ((await this.#incarnations.newest(name, signal))?.deleted) await this.#incarnations.sweep(name, signal);
      const { uid } = await this.#incarnations.mint(kind, name, () => ({}), signal);
      const view = await this.#begin({ project, id, uid }, request, signal);
      // The evaluation may have been deleted between its uid and its first record.
      if (view === undefined || !(await this.#incarnations.isCurrent(name, uid, signal))) continue;
      if (view.specDigest !== specDigest) throw new AlreadyExists(kind, name, 'it was created with another spec');
      return view.evaluation;
    }
    throw new Aborted(kind, name, 'it was deleted while it was being created, repeatedly: try again');
  }

  /** Writes the first record unless there is one. @returns undefined if the incarnation was deleted meanwhile */
  async #begin(key: EvaluationKey, request: NewEvaluation, signal: AbortSignal): Promise<EvaluationView | undefined> {
    const { evaluation, specDigest, runUid } = request;
    const log = this.#log(key);
    return await this.#whileCurrent(key, signal, async () => {
      if ((await log.refresh(signal)) === undefined) {
        // Hints are written before the log: a hint without a log is harmless, but a log without a hint would never be found.
        await this.#index(key.project).add(key.id, key.uid, signal);
        await this.#queue.add(key, signal);
        // The pin must exist before a worker starts.
        await pinCheckpoint(this.store, pinOf(key, evaluation, runUid), signal);
      }
      const stored = EvaluationMessage.toJSON({ ...evaluation, uid: key.uid });
      const event: EvaluationEvent = { kind: 'created', evaluation: stored, specDigest, runUid };
      return await log.append((now) => (now === undefined ? event : undefined), signal);
    });
  }

  /** @throws NotFound; FailedPrecondition if version 0.1 stored it */
  async get(project: string, id: string, signal: AbortSignal): Promise<EvaluationView> {
    const { view } = await this.#find(project, id, signal);
    return view;
  }

  /** At most `limit` evaluations with ids greater than `after`, in ascending order. */
  async list(project: string, after: string | undefined, limit: number, signal: AbortSignal): Promise<ListedEvaluation[]> {
    const found: ListedEvaluation[] = [];
    for await (const { id, uid } of this.#index(project).entries(after, signal)) {
      const name = evaluationName(project, id);
      if (uid === undefined) found.push({ id, name, reason: layoutOf01 });
      else if (await this.#incarnations.isCurrent(name, uid, signal)) {
        const key = { project, id, uid };
        const view = await this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal));
        if (view !== undefined) found.push({ id, name, evaluation: view.evaluation });
      }
      if (found.length === limit) break;
    }
    return found;
  }

  /** Appends the event that `decide` returns for the newest view, if any. @throws NotFound, and what `decide` throws */
  async change(
    project: string,
    id: string,
    decide: (evaluation: Evaluation) => EvaluationEvent | undefined,
    signal: AbortSignal,
  ): Promise<Evaluation> {
    const { key } = await this.#find(project, id, signal);
    const view = await this.#whileCurrent(key, signal, () =>
      this.#log(key).append((now) => decide((now as EvaluationView).evaluation), signal),
    );
    if (view === undefined) throw new NotFound(kind, evaluationName(project, id));
    const { evaluation, runUid } = view;
    if (hasEnded(evaluation.state)) await unpinCheckpoint(this.store, pinOf(key, evaluation, runUid), signal);
    return evaluation;
  }

  /**
   * Deletes an evaluation that has ended and all of its objects. The tombstone is first: from then on it does not exist, and what a crash leaves
   * behind is removed by the next call for this name.
   * @throws NotFound; Aborted for a stale etag; FailedPrecondition if it has not ended
   */
  async delete(project: string, id: string, etag: string, signal: AbortSignal): Promise<void> {
    const name = evaluationName(project, id);
    const newest = await this.#incarnations.newest(name, signal);
    if (newest === undefined) return await this.#deleteOf01(project, id, signal);
    const key = { project, id, uid: newest.uid };
    let gone = newest.deleted;
    if (!gone) {
      const view = await this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal));
      if (view !== undefined) {
        const { evaluation, runUid } = view;
        if (etag !== '' && etag !== evaluation.etag)
          throw new Aborted(kind, name, `etag ${etag.slice(0, 64)} is stale, the newest is ${evaluation.etag}`);
        if (!hasEnded(evaluation.state)) throw new FailedPrecondition(kind, name, 'it has not ended: cancel it first');
        await unpinCheckpoint(this.store, pinOf(key, evaluation, runUid), signal);
      }
      gone = !(await this.#incarnations.bury(name, newest.uid, {}, signal));
    }
    this.#logs.delete(newest.uid);
    await this.#index(project).remove(id, newest.uid, signal);
    await this.#queue.remove(key, signal);
    await this.#incarnations.sweep(name, signal);
    if (gone) throw new NotFound(kind, name);
  }

  /** Number of evaluations that wait for a worker, by which workers can be scaled. */
  async waiting(signal: AbortSignal): Promise<number> {
    let count = 0;
    for (const entry of await this.#queue.entries(signal)) {
      const view = await this.#whileCurrent(entry, signal, () => this.#log(entry).refresh(signal));
      if (view?.evaluation.state === EvaluationState.PENDING) count++;
    }
    return count;
  }

  /** Yields the evaluation now and after every change until it has ended. @throws NotFound, also if it is deleted meanwhile */
  async *watch(project: string, id: string, signal: AbortSignal): AsyncGenerator<Evaluation, void, void> {
    let seen = 0n;
    let uid: string | undefined;
    for (;;) {
      const { evaluation } = await this.get(project, id, signal);
      uid ??= evaluation.uid;
      if (evaluation.uid !== uid) throw new NotFound(kind, evaluation.name);
      if (evaluation.logSequence > seen) {
        seen = evaluation.logSequence;
        yield evaluation;
      }
      if (hasEnded(evaluation.state)) return;
      await wait(this.watchPollMs, signal);
    }
  }

  async #find(project: string, id: string, signal: AbortSignal): Promise<{ key: EvaluationKey; view: EvaluationView }> {
    const name = evaluationName(project, id);
    const { uid } = await this.#incarnations.current(kind, name, signal);
    const key = { project, id, uid };
    const view = await this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal));
    if (view === undefined) throw new NotFound(kind, name);
    return { key, view };
  }

  /** The result of `read`; undefined if it failed because the incarnation was deleted, whose log looks damaged while it is being removed. */
  async #whileCurrent<T>({ project, id, uid }: EvaluationKey, signal: AbortSignal, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (signal.aborted || (await this.#incarnations.isCurrent(evaluationName(project, id), uid, signal))) throw error;
      this.#logs.delete(uid);
      return undefined;
    }
  }

  async #deleteOf01(project: string, id: string, signal: AbortSignal): Promise<void> {
    const name = evaluationName(project, id);
    const found = await this.#incarnations.removeLayoutOf01(name, signal);
    await this.#index(project).removeOf01(id, signal);
    if (!found) throw new NotFound(kind, name);
  }

  #log(key: EvaluationKey): EvaluationLog {
    return this.#logs.getOrMake(key.uid, () => openEvaluationLog(this.store, key));
  }

  #index(project: string): NameIndex {
    const folder = formatName('project', { project });
    return new NameIndex(this.store, `${folder}/index/evaluations`, `${folder}/evaluation-index`);
  }
}

const pinOf = ({ uid }: EvaluationKey, { spec }: Evaluation, runUid: string): Pin => ({
  checkpoint: spec?.checkpoint ?? '',
  runUid,
  evaluationUid: uid,
});
