/** Claims evaluations and sees each attempt to its end in the log. */

import { InvalidArgument } from '#errors/errors.js';
import { UnknownModel } from '#nn/models/registry.js';
import { EvaluationResult, type EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import { CheckpointDamaged } from '#storage/checkpoint-manifest.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { unpinCheckpoint } from '#work/checkpoint-pins.js';
import { type ClaimedLog, ClaimLost, WorkEnded } from '#work/claimed-log.js';
import { type Attempt, ClaimedWorker } from '#work/claimed-worker.js';
import { NotATrainingCheckpoint } from '#work/training-metadata.js';
import type { EvaluatorConfig } from '../config.js';
import { evaluationPrefix, evaluationQueue, heartbeatPrefix, openEvaluationLog, standingOf } from '../evaluation/evaluation-log.js';
import { type EvaluationEvent, type EvaluationView, hasEnded } from '../evaluation/evaluation-state.js';
import type { EvaluatorMetrics } from '../metrics.js';
import { scoreCheckpoint } from './score-checkpoint.js';

export interface EvaluationWorkerDeps {
  readonly store: ObjectStore;
  readonly config: Pick<
    EvaluatorConfig,
    'data' | 'workers' | 'pollMs' | 'leaseTtlMs' | 'maxAttempts' | 'backoffMs' | 'prefetch' | 'prefetchBytes'
  >;
  readonly metrics: EvaluatorMetrics;
  readonly logger: Logger;
}

const progressEveryMs = 1000;

export type EvaluationWorker = ClaimedWorker<EvaluationEvent, EvaluationView>;

/** Whoever starts it stops it: that gives every evaluation back, to be started anew elsewhere. */
export function createEvaluationWorker(deps: EvaluationWorkerDeps): EvaluationWorker {
  const { store, config, metrics, logger } = deps;
  return new ClaimedWorker({
    kind: 'evaluation',
    queue: evaluationQueue(store),
    store,
    config,
    logger,
    openLog: ({ project, id }) => openEvaluationLog(store, project, id),
    name: ({ project, id }) => evaluationPrefix(project, id),
    heartbeatPrefix: ({ project, id }) => heartbeatPrefix(project, id),
    standing: standingOf,
    claim: (view, worker): EvaluationEvent => ({ kind: 'claimed', attempt: view.attempt + 1, worker }),
    attempt: (attempt) => attemptAndRecord(deps, attempt),
    release: ({ id }, view) => unpin(store, view, id),
    onOutcome: (outcome) => metrics.attempts.inc({ outcome }),
    onDepth: (waiting) => metrics.queueDepth.set(waiting),
    onActive: (active) => metrics.active.set(active),
  });
}

/** Scores once and writes the end. */
async function attemptAndRecord(
  { store, config, metrics }: EvaluationWorkerDeps,
  { claimed, logger, project, stopping }: Attempt<EvaluationEvent, EvaluationView>,
): Promise<string> {
  const { maxAttempts, data, prefetch, prefetchBytes } = config;
  const { evaluation, fruitlessAttempts } = claimed.view;
  const progress = new ProgressWriter(claimed, Number(evaluation.samplesTotal));
  try {
    if (fruitlessAttempts > maxAttempts) throw new TooManyAttempts(maxAttempts);
    const result = await scoreCheckpoint({
      store,
      parent: `projects/${project}`,
      spec: evaluation.spec as EvaluationSpec,
      data: { addresses: data, inFlight: prefetch, inFlightBytes: prefetchBytes },
      onProgress: (samples) => progress.note(samples),
      onImages: (count) => metrics.images.inc(count),
      signal: AbortSignal.any([claimed.signal, stopping]),
    });
    await progress.settled();
    await claimed.append(() => ({ kind: 'succeeded', result: EvaluationResult.toJSON(result) }));
    metrics.seconds.observe(result.seconds);
    return 'succeeded';
  } catch (error) {
    if (error instanceof ClaimLost || error instanceof WorkEnded || claimed.signal.aborted) {
      logger.info('the evaluation is no longer ours');
      return 'lost';
    }
    await progress.settled().catch(() => {});
    if (stopping.aborted) {
      await claimed.append(() => ({ kind: 'released', reason: 'given back: its worker is stopping', failed: false }));
      return 'stopped';
    }
    const hopeless = isDeterministic(error) || fruitlessAttempts >= maxAttempts;
    const reason = describe(error);
    logger.error({ error, hopeless }, 'the attempt failed');
    await claimed.append(() => (hopeless ? { kind: 'failed', failure: reason } : { kind: 'released', reason, failed: true }));
    return hopeless ? 'failed' : 'retried';
  }
}

/** A pin that stays behind only keeps a checkpoint longer. */
async function unpin(store: ObjectStore, { evaluation }: EvaluationView, id: string): Promise<void> {
  if (!hasEnded(evaluation.state) || evaluation.spec === undefined) return;
  await unpinCheckpoint(store, evaluation.spec.checkpoint, id, AbortSignal.timeout(10_000)).catch(() => {});
}

/** Writes progress at most once a second, beside the scoring. */
class ProgressWriter {
  #lastMs = performance.now();
  #writing: Promise<unknown> = Promise.resolve();
  #busy = false;

  constructor(
    private readonly claimed: ClaimedLog<EvaluationEvent, EvaluationView>,
    private readonly total: number,
  ) {}

  note(samplesDone: number): void {
    if (this.#busy || performance.now() - this.#lastMs < progressEveryMs) return;
    this.#busy = true;
    this.#lastMs = performance.now();
    const event: EvaluationEvent = { kind: 'progress', samplesDone, samplesTotal: this.total };
    // A claim that is lost here is told by its signal.
    this.#writing = this.claimed
      .append(() => event)
      .catch(() => {})
      .then(() => {
        this.#busy = false;
      });
  }

  async settled(): Promise<void> {
    await this.#writing;
  }
}

class TooManyAttempts extends Error {
  override readonly name = 'TooManyAttempts';
  constructor(readonly attempts: number) {
    super(`${attempts} attempts in a row ended without a result; the workers' logs say why`);
  }
}

/** Failures that every further attempt would meet again. */
function isDeterministic(error: unknown): boolean {
  return (
    error instanceof CheckpointDamaged ||
    error instanceof ObjectNotFound ||
    error instanceof NotATrainingCheckpoint ||
    error instanceof UnknownModel ||
    error instanceof InvalidArgument ||
    error instanceof RangeError ||
    error instanceof TooManyAttempts
  );
}

function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.length > 2000 ? `${text.slice(0, 1997)}...` : text;
}
