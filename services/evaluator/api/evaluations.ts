/** Evaluations in the store, as the api role sees them: any replica, no state but caches of logs that only grow. */

import { RecentMap } from '#bounds/recent-map.js';
import { AlreadyExists, NotFound } from '#errors/errors.js';
import { formatName } from '#errors/resource-names.js';
import { type Evaluation, Evaluation as EvaluationMessage, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { wait } from '#rpc/retry.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { pinCheckpoint, unpinCheckpoint } from '#work/checkpoint-pins.js';
import type { QueueIndex } from '#work/queue-index.js';
import { type EvaluationLog, evaluationPrefix, evaluationQueue, openEvaluationLog } from '../evaluation/evaluation-log.js';
import { type EvaluationEvent, type EvaluationView, hasEnded } from '../evaluation/evaluation-state.js';
import type { NewEvaluation } from './create-evaluation.js';

const keptLogs = 256;

export class Evaluations {
  readonly #queue: QueueIndex;
  readonly #logs = new RecentMap<string, EvaluationLog>(keptLogs);

  constructor(
    private readonly store: ObjectStore,
    /** Between looks at a watched log. */
    private readonly watchPollMs: number,
  ) {
    this.#queue = evaluationQueue(store);
  }

  /** Stores and queues an evaluation. The same id with the same spec is the evaluation again. @throws AlreadyExists for another spec */
  async create({ project, id, evaluation, specDigest }: NewEvaluation, signal: AbortSignal): Promise<Evaluation> {
    // Hints first: without a log they mean nothing, and a log without them would be found by nobody.
    await this.store.put(indexKey(project, id), Buffer.from('{}'), { signal });
    await this.#queue.add({ project, id }, signal);
    const log = this.#log(project, id);
    const known = await log.refresh(signal);
    // Before it can be worked on, and not again for one that has ended.
    if (known === undefined) await pinCheckpoint(this.store, checkpointOf(evaluation), id, signal);
    const event: EvaluationEvent = { kind: 'created', evaluation: EvaluationMessage.toJSON(evaluation), specDigest };
    const view = await log.append((now) => (now === undefined ? event : undefined), signal);
    if (view?.specDigest !== specDigest) throw new AlreadyExists('evaluation', evaluation.name, 'it was created with another spec');
    return view.evaluation;
  }

  /** @throws NotFound */
  async get(project: string, id: string, signal: AbortSignal): Promise<EvaluationView> {
    const view = await this.#log(project, id).refresh(signal);
    if (view !== undefined) return view;
    this.#logs.delete(`${project}/${id}`);
    throw new NotFound('evaluation', evaluationPrefix(project, id));
  }

  /** At most `limit` with ids above `after`, ascending. */
  async list(project: string, after: string | undefined, limit: number, signal: AbortSignal): Promise<Evaluation[]> {
    const found: Evaluation[] = [];
    const folder = `${indexFolder(project)}/`;
    for await (const { key } of listAll(this.store, folder, { signal, after: after === undefined ? undefined : `${folder}${after}` })) {
      const view = await this.#log(project, key.slice(folder.length)).refresh(signal);
      if (view !== undefined) found.push(view.evaluation);
      if (found.length === limit) break;
    }
    return found;
  }

  /** Appends what `decide` makes of the newest view; nothing where it returns undefined. @throws NotFound, and what `decide` throws */
  async change(
    project: string,
    id: string,
    decide: (evaluation: Evaluation) => EvaluationEvent | undefined,
    signal: AbortSignal,
  ): Promise<Evaluation> {
    await this.get(project, id, signal);
    const view = await this.#log(project, id).append((now) => decide((now as EvaluationView).evaluation), signal);
    const { evaluation } = view as EvaluationView;
    if (hasEnded(evaluation.state)) await unpinCheckpoint(this.store, checkpointOf(evaluation), id, signal);
    return evaluation;
  }

  /** How many wait for a worker: what workers are scaled on. */
  async waiting(signal: AbortSignal): Promise<number> {
    let count = 0;
    for (const { project, id } of await this.#queue.entries(signal)) {
      const view = await this.#log(project, id).refresh(signal);
      if (view?.evaluation.state === EvaluationState.PENDING) count++;
    }
    return count;
  }

  /** The evaluation now and at every change until it has ended. @throws NotFound */
  async *watch(project: string, id: string, signal: AbortSignal): AsyncGenerator<Evaluation, void, void> {
    let seen = 0n;
    for (;;) {
      const { evaluation } = await this.get(project, id, signal);
      if (evaluation.logSequence > seen) {
        seen = evaluation.logSequence;
        yield evaluation;
      }
      if (hasEnded(evaluation.state)) return;
      await wait(this.watchPollMs, signal);
    }
  }

  #log(project: string, id: string): EvaluationLog {
    return this.#logs.getOrMake(`${project}/${id}`, () => openEvaluationLog(this.store, project, id));
  }
}

const checkpointOf = (evaluation: Evaluation): string => evaluation.spec?.checkpoint ?? '';
const indexFolder = (project: string): string => `${formatName('project', { project })}/evaluation-index`;
const indexKey = (project: string, id: string): string => `${indexFolder(project)}/${id}`;
