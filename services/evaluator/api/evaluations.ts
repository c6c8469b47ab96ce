/** Reads and writes evaluations in the store, for the api role. It has no state but caches of logs, which only grow. */

import { orAborted } from '#bounds/or-aborted.js';
import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, FailedPrecondition, NotFound } from '#errors/errors.js';
import { formatName } from '#errors/resource-names.js';
import { type Evaluation, Evaluation as EvaluationMessage, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { type Change, ChangeFeed } from '#rpc/change-feed.js';
import { fullLookMs, type KeptItem, KeptItems } from '#rpc/kept-items.js';
import { damageOf, isDamage, type ListedPage, listPage, readOrDamage } from '#rpc/list-page.js';
import type { Page } from '#rpc/pagination.js';
import { checkRepeated } from '#rpc/request-id.js';
import type { ObjectStore } from '#storage/object-store.js';
import { type Pin, pinCheckpoint, unpinCheckpoint } from '#work/checkpoint-pins.js';
import { noPatience } from '#work/folded-log.js';
import { Incarnations, layoutOf01 } from '#work/incarnations.js';
import { type NamedEntry, NameIndex } from '#work/name-index.js';
import type { QueueIndex } from '#work/queue-index.js';
import {
  type EvaluationKey,
  type EvaluationLog,
  evaluationName,
  evaluationQueue,
  openEvaluationLog,
  recordLog,
} from '../evaluation/evaluation-log.js';
import { type EvaluationEvent, type EvaluationView, hasEnded } from '../evaluation/evaluation-state.js';
import type { NewEvaluation } from './create-evaluation.js';

const keptLogs = 256;
/** Number of projects whose index is kept. */
const keptIndexes = 256;
/** Number of times that an evaluation may be deleted while it is being created. */
const createAttempts = 5;
const kind = 'evaluation';

/** Largest number of evaluations that are kept for lists; about 2 KB each. */
const keptEvaluations = 16_384;
const maxWatches = 10_000;

interface ListedEvaluation extends KeptItem {
  readonly evaluation: Evaluation;
}

export interface EvaluationsOptions {
  readonly store: ObjectStore;
  /** Milliseconds between checks of a watched log. */
  readonly watchPollMs: number;
  /** Called when a watched log could not be read for the moment. */
  readonly onError: (error: unknown) => void;
}

export class Evaluations {
  private readonly store: ObjectStore;
  readonly #queue: QueueIndex;
  readonly #incarnations: Incarnations;
  readonly #listed: KeptItems<ListedEvaluation>;
  readonly #feed: ChangeFeed<Evaluation>;
  readonly #indexes = new RecentMap<string, NameIndex>(keptIndexes);
  /** By uid. */
  readonly #logs = new RecentMap<string, EvaluationLog>(keptLogs);

  constructor({ store, watchPollMs, onError }: EvaluationsOptions) {
    this.store = store;
    this.#queue = evaluationQueue(store);
    this.#incarnations = new Incarnations(store);
    this.#listed = new KeptItems({ limit: keptEvaluations, read: (key, kept, signal) => this.#readListed(key, kept, signal) });
    this.#feed = new ChangeFeed({
      what: 'WatchEvaluation',
      look: async (key, signal) => {
        const { project, id, uid } = partsOf(key);
        const { evaluation } = await this.get(project, id, signal);
        if (evaluation.uid !== uid) throw new NotFound(kind, evaluation.name);
        return changeOf(evaluation);
      },
      pollMs: watchPollMs,
      maxWatches,
      onError,
    });
  }

  /**
   * Stores and queues an evaluation, or returns the one that an earlier request created which this one repeats.
   * @throws AlreadyExists if the id is in use; FailedPrecondition if version 0.1 stored an evaluation of this name
   */
  async create(request: NewEvaluation, signal: AbortSignal): Promise<Evaluation> {
    const { project, id, evaluation, specDigest, requestId } = request;
    const { name } = evaluation;
    for (let attempt = 1; attempt <= createAttempts; attempt++) {
      if ((await this.#incarnations.newest(name, signal))?.deleted) await this.#incarnations.sweep(name, signal);
      const { uid } = await this.#incarnations.mint(kind, name, () => ({}), signal);
      const begun = await this.#begin({ project, id, uid }, request, signal);
      // The evaluation may have been deleted between its uid and its first record.
      if (begun === undefined || !(await this.#incarnations.isCurrent(name, uid, signal))) continue;
      const { view, ours } = begun;
      const earlier = { requestId: view.requestId, digest: view.specDigest, time: view.evaluation.createTime };
      if (!ours) checkRepeated(kind, name, earlier, { requestId, digest: specDigest });
      this.#saw({ project, id, uid }, view);
      return view.evaluation;
    }
    throw new Aborted(kind, name, 'it was deleted while it was being created, repeatedly: try again');
  }

  /** Writes the first record unless there is one. @returns undefined if the incarnation was deleted meanwhile */
  async #begin(key: EvaluationKey, request: NewEvaluation, signal: AbortSignal) {
    const { evaluation, specDigest, requestId, runUid } = request;
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
      const event: EvaluationEvent = { kind: 'created', evaluation: stored, specDigest, requestId, runUid };
      let ours = false;
      const view = await log.append((now) => {
        ours = now === undefined;
        return ours ? event : undefined;
      }, signal);
      return { view: view as EvaluationView, ours };
    });
  }

  /** @throws NotFound; FailedPrecondition if version 0.1 stored it */
  async get(project: string, id: string, signal: AbortSignal): Promise<EvaluationView> {
    const { view } = await this.#find(project, id, signal);
    return view;
  }

  /** One page of the evaluations of a project, in ascending order of their ids. */
  async list(project: string, page: Page, binding: string, signal: AbortSignal): Promise<ListedPage<Evaluation>> {
    const impatient = KeptItems.impatience();
    const { items, ...rest } = await listPage({
      keys: this.#index(project).entries({ after: page.after, first: page.size + 1 }, signal),
      nameOf: ({ id }) => evaluationName(project, id),
      placeOf: ({ id }) => id,
      read: (entry) => this.#listed.get(keyOf(project, entry), signal, impatient),
      page,
      binding,
    });
    return { items: items.map(({ evaluation }) => evaluation), ...rest };
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
    this.#saw(key, view);
    const { evaluation, runUid } = view;
    if (hasEnded(evaluation.state)) await unpinCheckpoint(this.store, pinOf(key, evaluation, runUid), signal);
    return evaluation;
  }

  /**
   * Ends an evaluation as `change` does. A log that is damaged gets the record too, after the newest one that it has: whoever reads on from there
   * stops, and the evaluation leaves the queue.
   */
  async cancel(
    project: string,
    id: string,
    decide: (evaluation: Evaluation) => EvaluationEvent | undefined,
    signal: AbortSignal,
  ): Promise<Evaluation> {
    try {
      return await this.change(project, id, decide, signal);
    } catch (error) {
      const damage = damageOf(error);
      if (error instanceof FailedPrecondition || damage === undefined) throw error;
      const name = evaluationName(project, id);
      const { uid } = await this.#incarnations.current(kind, name, signal);
      const key = { project, id, uid };
      await recordLog(this.store, key).appendToDamaged('cancelled', {}, { signal });
      await this.#queue.remove(key, signal);
      this.#listed.expire(keyOf(project, key));
      return EvaluationMessage.fromPartial({ name, uid, state: EvaluationState.CANCELLED, failure: damage });
    }
  }

  /**
   * Deletes an evaluation that has ended, or that is damaged, and all of its objects. The tombstone is first: from then on it does not exist, and what a crash leaves
   * behind is removed by the next call for this name.
   * @throws NotFound; Aborted for a stale etag; FailedPrecondition if it has not ended
   */
  async delete(project: string, id: string, etag: string, signal: AbortSignal): Promise<void> {
    const name = evaluationName(project, id);
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
      const view = await readOrDamage(() => this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal)));
      if (isDamage(view)) {
        if (etag !== '') throw new Aborted(kind, name, `its etag cannot be read (${view.damage}): delete it without one`);
      } else if (view !== undefined) {
        const { evaluation, runUid } = view;
        if (etag !== '' && etag !== evaluation.etag)
          throw new Aborted(kind, name, `etag ${etag.slice(0, 64)} is stale, the newest is ${evaluation.etag}`);
        if (!hasEnded(evaluation.state)) throw new FailedPrecondition(kind, name, 'it has not ended: cancel it first');
        await unpinCheckpoint(this.store, pinOf(key, evaluation, runUid), signal);
      }
      gone = !(await this.#incarnations.bury(name, newest.uid, {}, signal));
    }
    await this.#forget(key, signal);
    await this.#incarnations.sweep(name, signal);
    if (gone) throw new NotFound(kind, name);
  }

  /** Removes the hints to an evaluation that is deleted. */
  async #forget(key: EvaluationKey, signal: AbortSignal): Promise<void> {
    this.#logs.delete(key.uid);
    this.#listed.expire(keyOf(key.project, key));
    await this.#index(key.project).remove(key.id, key.uid, signal);
    await this.#queue.remove(key, signal);
  }

  /** Number of evaluations that wait for a worker, by which workers can be scaled. Those that are damaged are not counted. */
  async waiting(signal: AbortSignal): Promise<number> {
    const keys = (await this.#queue.entries(signal)).map((entry) => keyOf(entry.project, entry));
    await orAborted(this.#listed.renewAll(keys), signal);
    return keys.filter((key) => {
      const kept = this.#listed.kept(key);
      return kept !== undefined && 'item' in kept && kept.item?.evaluation.state === EvaluationState.PENDING;
    }).length;
  }

  /**
   * Yields the evaluation now and after every change until it has ended. All who watch one evaluation share one reader of its log; a slow one gets the
   * newest state and misses those in between. @throws NotFound, also if it is deleted meanwhile; ResourceExhausted
   */
  async *watch(project: string, id: string, signal: AbortSignal): AsyncGenerator<Evaluation, void, void> {
    const leave = this.#feed.enter();
    try {
      let { evaluation } = await this.get(project, id, signal);
      const key = keyOf(project, { id, uid: evaluation.uid });
      for (;;) {
        yield evaluation;
        if (hasEnded(evaluation.state)) return;
        evaluation = (await this.#feed.changed(key, Number(evaluation.logSequence), signal)).value;
      }
    } finally {
      leave();
    }
  }

  /** Ends what goes on in the background. Watches end by their own signals. */
  close(): void {
    this.#listed.close();
    this.#feed.close();
  }

  async #readListed(listed: string, kept: ListedEvaluation | undefined, signal: AbortSignal): Promise<ListedEvaluation | undefined> {
    const { project, id, uid } = partsOf(listed);
    const name = evaluationName(project, id);
    if (uid === '') throw new FailedPrecondition(kind, name, layoutOf01);
    const key = { project, id, uid };
    if (kept && performance.now() - kept.readMs < fullLookMs) {
      if (kept.isFinal || !(await recordLog(this.store, key).has(kept.number + 1, { signal }))) return kept;
    }
    if (!(await this.#incarnations.isCurrent(name, uid, signal))) return undefined;
    return await this.#whileCurrent(key, signal, async () => {
      // Lists of many evaluations must not displace the logs that calls use.
      const view = await (this.#logs.get(uid) ?? openEvaluationLog(this.store, key)).refresh(signal);
      return view && listedEvaluation(view);
    });
  }

  /** Tells lists and watches of the newest state that a call has read or written. */
  #saw(key: EvaluationKey, view: EvaluationView): void {
    this.#listed.saw(keyOf(key.project, key), listedEvaluation(view));
    this.#feed.notify(keyOf(key.project, key), changeOf(view.evaluation));
  }

  async #find(project: string, id: string, signal: AbortSignal): Promise<{ key: EvaluationKey; view: EvaluationView }> {
    const name = evaluationName(project, id);
    const { uid } = await this.#incarnations.current(kind, name, signal);
    const key = { project, id, uid };
    const view = await this.#whileCurrent(key, signal, () => this.#log(key).refresh(signal));
    if (view === undefined) throw new NotFound(kind, name);
    this.#saw(key, view);
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
    return this.#logs.getOrMake(key.uid, () => openEvaluationLog(this.store, key, noPatience));
  }

  #index(project: string): NameIndex {
    const folder = formatName('project', { project });
    return this.#indexes.getOrMake(project, () => new NameIndex(this.store, `${folder}/index/evaluations`, `${folder}/evaluation-index`));
  }
}

function listedEvaluation({ evaluation }: EvaluationView): ListedEvaluation {
  return {
    uid: evaluation.uid,
    number: Number(evaluation.logSequence),
    isFinal: hasEnded(evaluation.state),
    readMs: performance.now(),
    evaluation,
  };
}

const changeOf = (evaluation: Evaluation): Change<Evaluation> => ({ number: Number(evaluation.logSequence), value: evaluation });

const keyOf = (project: string, { id, uid = '' }: NamedEntry): string => `${project}/${id}/${uid}`;

function partsOf(key: string): EvaluationKey {
  const [project = '', id = '', uid = ''] = key.split('/');
  return { project, id, uid };
}

const pinOf = ({ uid }: EvaluationKey, { spec }: Evaluation, runUid: string): Pin => ({
  checkpoint: spec?.checkpoint ?? '',
  runUid,
  holderUid: uid,
});
