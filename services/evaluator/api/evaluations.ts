/** Reads and writes evaluations in the store, for the api role. */
import { checkQuota, type ProjectQuotas } from '#auth/quota.js';
import { orAborted } from '#bounds/or-aborted.js';
import { FailedPrecondition, NotFound } from '#errors/errors.js';
import { type Evaluation, Evaluation as EvaluationMessage, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { type Change, ChangeFeed } from '#rpc/change-feed.js';
import { type KeptItem, KeptItems } from '#rpc/kept-items.js';
import { damageOf, type ListedPage, listPage } from '#rpc/list-page.js';
import type { Page } from '#rpc/pagination.js';
import { checkRepeated } from '#rpc/request-id.js';
import type { ObjectStore } from '#storage/object-store.js';
import { activeSpan, recorded } from '#telemetry/tracing.js';
import { type Pin, pinCheckpoint, unpinCheckpoint } from '#work/checkpoint-pins.js';
import { IncarnatedLogs } from '#work/incarnated-logs.js';
import type { NamedEntry } from '#work/name-index.js';
import { ProjectTurns } from '#work/project-turns.js';
import type { QueueIndex } from '#work/queue-index.js';
import {
  type EvaluationKey,
  evaluationName,
  evaluationQueue,
  openEvaluationLog,
  placeOf,
  recordLog,
} from '../evaluation/evaluation-log.js';
import { type EvaluationEvent, type EvaluationView, hasEnded } from '../evaluation/evaluation-state.js';
import type { NewEvaluation } from './create-evaluation.js';

const kind = 'evaluation';

/** Largest number of evaluations that are kept for lists; about 2 KB each. */
const keptEvaluations = 16_384;
const maxWatches = 10_000;

interface ListedEvaluation extends KeptItem {
  readonly evaluation: Evaluation;
}

export interface QueuedEvaluation {
  readonly project: string;
  /** False for one that is under way. */
  readonly waits: boolean;
}

export interface EvaluationsOptions {
  readonly store: ObjectStore;
  /** Milliseconds between checks of a watched log. */
  readonly watchPollMs: number;
  /** Called when a watched log could not be read for the moment. */
  readonly onError: (error: unknown) => void;
  /** Of which `queued` is kept. Default: none. */
  readonly quotasOf?: (project: string) => ProjectQuotas;
}

export class Evaluations {
  private readonly store: ObjectStore;
  readonly #queue: QueueIndex;
  readonly #logs: IncarnatedLogs<EvaluationEvent, EvaluationView>;
  readonly #listed: KeptItems<ListedEvaluation>;
  readonly #feed: ChangeFeed<Evaluation>;
  readonly #turns = new ProjectTurns();
  readonly #quotasOf: (project: string) => ProjectQuotas;

  constructor({ store, watchPollMs, onError, quotasOf = () => ({}) }: EvaluationsOptions) {
    this.store = store;
    this.#quotasOf = quotasOf;
    this.#queue = evaluationQueue(store);
    this.#logs = new IncarnatedLogs({
      store,
      kind,
      nameOf: evaluationName,
      openLog: (key, patience) => openEvaluationLog(store, key, patience),
      recordLog: (key) => recordLog(store, key),
      queue: this.#queue,
      etagOf: ({ evaluation }) => evaluation.etag,
      hasEnded: ({ evaluation }) => hasEnded(evaluation.state),
      isWaiting: ({ evaluation }) => evaluation.state === EvaluationState.PENDING,
      place: placeOf,
      saw: (key, view) => this.#saw(key, view),
      expire: (key) => this.#listed.expire(keyOf(key.project, key)),
    });
    this.#listed = new KeptItems({
      limit: keptEvaluations,
      read: (key, kept, signal) => {
        const { uid, ...name } = partsOf(key);
        return this.#logs.readListed({ ...name, uid: uid === '' ? undefined : uid }, kept, listedEvaluation, signal);
      },
    });
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
   * @throws AlreadyExists if the id is in use; FailedPrecondition if version 0.1 stored an evaluation of this name; ResourceExhausted beyond the quota
   */
  async create(request: NewEvaluation, signal: AbortSignal): Promise<Evaluation> {
    const { project, id, evaluation, specDigest, requestId, runUid } = request;
    const creation = {
      first: ({ uid }: EvaluationKey): EvaluationEvent => {
        const stored = EvaluationMessage.toJSON({ ...evaluation, uid });
        return { kind: 'created', evaluation: stored, specDigest, requestId, runUid, trace: recorded(activeSpan()) };
      },
      // The pin must exist before a worker starts.
      prepare: (key: EvaluationKey) => pinCheckpoint(this.store, pinOf(key, evaluation, runUid), signal),
    };
    const { key, view, ours } = await this.#withinQuota(project, id, () => this.#logs.create(project, id, creation, signal), signal);
    const earlier = { requestId: view.requestId, digest: view.specDigest, time: view.evaluation.createTime };
    if (!ours) checkRepeated(kind, evaluation.name, earlier, { requestId, digest: specDigest });
    this.#saw(key, view);
    return view.evaluation;
  }

  /** A repeated request adds nothing. What else is wrong with the name, `create` says. */
  async #withinQuota<T>(project: string, id: string, create: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#quotasOf(project).queued === undefined) return await create();
    const isNew = await this.get(project, id, signal).then(
      () => false,
      (error: unknown) => error instanceof NotFound,
    );
    if (!isNew) return await create();
    return await this.#turns.run(project, signal, async () => {
      const used = (await this.queued(signal, project)).filter(({ waits }) => waits).length;
      checkQuota({ project, quota: 'queued', limit: this.#quotasOf(project).queued, used });
      return await create();
    });
  }

  /** @throws NotFound; FailedPrecondition if version 0.1 stored it */
  async get(project: string, id: string, signal: AbortSignal): Promise<EvaluationView> {
    const { view } = await this.#logs.find(project, id, signal);
    return view;
  }

  /** One page of the evaluations of a project, in ascending order of their ids. */
  async list(project: string, page: Page, binding: string, signal: AbortSignal): Promise<ListedPage<Evaluation>> {
    const impatient = KeptItems.impatience();
    const { items, ...rest } = await listPage({
      keys: this.#logs.index(project).entries({ after: page.after, first: page.size + 1, impatient }, signal),
      nameOf: ({ id }) => evaluationName(project, id),
      placeOf: ({ id }) => id,
      read: (entry) => this.#listed.get(keyOf(project, entry), signal, impatient),
      bytesOf: ({ evaluation }) => EvaluationMessage.encode(evaluation).finish().length,
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
    const { key } = await this.#logs.find(project, id, signal);
    const { evaluation, runUid } = await this.#logs.append(key, (view) => decide(view.evaluation), signal);
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
      const { uid } = await this.#logs.endDamaged(project, id, { kind: 'cancelled', payload: {} }, signal);
      return EvaluationMessage.fromPartial({ name, uid, state: EvaluationState.CANCELLED, failure: damage });
    }
  }

  /**
   * Deletes an evaluation that has ended, or that is damaged, with all of its objects.
   * @throws NotFound; Aborted for a stale etag; FailedPrecondition if it has not ended
   */
  async delete(project: string, id: string, etag: string, signal: AbortSignal): Promise<void> {
    const unpin = (key: EvaluationKey, { evaluation, runUid }: EvaluationView): Promise<void> =>
      unpinCheckpoint(this.store, pinOf(key, evaluation, runUid), signal);
    await this.#logs.delete(project, id, etag, signal, unpin);
  }

  /** Evaluations that wait for a worker or are under way, of all projects or of one. Those that are damaged are left out. */
  async queued(signal: AbortSignal, ofProject?: string): Promise<QueuedEvaluation[]> {
    const entries = await this.#queue.entries(signal, ofProject);
    const keys = entries.map((entry) => keyOf(entry.project, entry));
    await orAborted(this.#listed.renewAll(keys), signal);
    return entries.flatMap(({ project }, k) => {
      const kept = this.#listed.kept(keys[k]!);
      const state = kept && 'item' in kept ? kept.item?.evaluation.state : undefined;
      if (state !== EvaluationState.PENDING && state !== EvaluationState.RUNNING) return [];
      return [{ project, waits: state === EvaluationState.PENDING }];
    });
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

  /** Tells lists and watches of the newest state that a call has read or written. */
  #saw(key: EvaluationKey, view: EvaluationView): void {
    this.#listed.saw(keyOf(key.project, key), listedEvaluation(view));
    this.#feed.notify(keyOf(key.project, key), changeOf(view.evaluation));
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
