/** Claims evaluations, runs each attempt and records how it ended: succeeded, given back, failed, or lost to another worker. */
import { formatName } from '#errors/resource-names.js';
import { EvaluationResult, type EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import type { ConnectOptions } from '#rpc/client.js';
import { CheckpointDamaged } from '#storage/checkpoint-manifest.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { spanOfRecord } from '#telemetry/tracing.js';
import { NotATrainingCheckpoint } from '#training/checkpoint-metadata.js';
import { deterministicFailures } from '#training/deterministic-failures.js';
import { NonFiniteGradient } from '#training/gradient-statistics.js';
import { unpinCheckpoint } from '#work/checkpoint-pins.js';
import { type Attempt, ClaimedWorker } from '#work/claimed-worker.js';
import type { ProjectShares } from '#work/fair-share.js';
import type { EvaluatorConfig } from '../config.js';
import { evaluationName, evaluationQueue, heartbeatPrefix, openEvaluationLog, placeOf, standingOf } from '../evaluation/evaluation-log.js';
import { type EvaluationEvent, type EvaluationView, hasEnded } from '../evaluation/evaluation-state.js';
import type { EvaluatorMetrics } from '../metrics.js';
import { measureGradients } from './measure-gradients.js';
import { ProgressWriter } from './progress-writer.js';
import { scoreCheckpoint, UndecodableImages } from './score-checkpoint.js';
import { NonFiniteScores } from './scores.js';

export interface EvaluationWorkerDeps {
  readonly store: ObjectStore;
  readonly config: Pick<
    EvaluatorConfig,
    | 'data'
    | 'workers'
    | 'pollMs'
    | 'leaseTtlMs'
    | 'maxAttempts'
    | 'backoffMs'
    | 'prefetch'
    | 'prefetchBytes'
    | 'instance'
    | 'succeeds'
    | 'exitWhenIdle'
  >;
  /** How it calls the data service. */
  readonly caller: ConnectOptions;
  /** Absent: all projects have equal shares of the workers. */
  readonly quotas?: ProjectShares | undefined;
  readonly metrics: EvaluatorMetrics;
  readonly logger: Logger;
  /** Called when it has had no work for as long as config.exitWhenIdle says; it takes no more. */
  readonly onIdle?: () => void;
}

type EvaluationOutcome = { readonly kind: 'succeeded'; readonly result: EvaluationResult } | { readonly kind: 'stopped' };

export type EvaluationWorker = ClaimedWorker<EvaluationEvent, EvaluationView, EvaluationOutcome>;

/** Starts the worker. The caller must stop it, which gives all evaluations back, so that other workers start them again. */
export function createEvaluationWorker(deps: EvaluationWorkerDeps): EvaluationWorker {
  const { store, config, metrics, logger } = deps;
  return new ClaimedWorker({
    kind: 'evaluation',
    progress: 'a result',
    queue: evaluationQueue(store),
    store,
    config,
    shares: deps.quotas,
    logger,
    openLog: (entry) => openEvaluationLog(store, entry),
    name: ({ project, id }) => evaluationName(project, id),
    heartbeatPrefix,
    standing: standingOf,
    place: placeOf,
    traceOf: ({ trace }) => spanOfRecord(trace),
    claim: (view, worker, succeeds): EvaluationEvent => ({
      kind: 'claimed',
      attempt: view.attempt + 1,
      worker,
      ...(succeeds !== '' && { succeeds }),
    }),
    attempt: (attempt) => attempted(deps, attempt),
    ended: endOf,
    failed: (reason, forGood) => (forGood ? { kind: 'failed', failure: reason } : { kind: 'released', reason, failed: true }),
    isDeterministic: deterministicFailures([
      CheckpointDamaged,
      ObjectNotFound,
      NotATrainingCheckpoint,
      RangeError,
      NonFiniteScores,
      NonFiniteGradient,
      UndecodableImages,
    ]),
    release: ({ uid }, view) => unpin(store, view, uid),
    onOutcome: (outcome) => metrics.attempts.inc({ outcome }),
    ...(deps.onIdle && { onIdle: deps.onIdle }),
    onDepth: (waiting) => metrics.queueDepth.set(waiting),
    onActive: (active) => metrics.active.set(active),
  });
}

/** Evaluates the checkpoint, unless the worker stops meanwhile. */
async function attempted(
  { store, config, caller, metrics }: EvaluationWorkerDeps,
  { claimed, project, stopping, logger }: Attempt<EvaluationEvent, EvaluationView>,
): Promise<EvaluationOutcome> {
  const { data, prefetch, prefetchBytes } = config;
  const { evaluation } = claimed.view;
  const progress = new ProgressWriter(claimed, Number(evaluation.samplesTotal));
  try {
    const spec = claimed.view.evaluation.spec as EvaluationSpec;
    const result = await (spec.gradientStatistics ? measureGradients : scoreCheckpoint)({
      store,
      parent: formatName('project', { project }),
      spec,
      runUid: claimed.view.runUid,
      data: { addresses: data, connect: caller, inFlight: prefetch, inFlightBytes: prefetchBytes },
      onProgress: (samples) => progress.note(samples),
      onImages: (count) => metrics.images.inc(count),
      signal: AbortSignal.any([claimed.signal, stopping]),
      logger,
    });
    metrics.seconds.observe(result.seconds);
    return { kind: 'succeeded', result };
  } catch (error) {
    if (stopping.aborted && !claimed.signal.aborted) return { kind: 'stopped' };
    throw error;
  } finally {
    // The last progress record must be written before the record of the end.
    await progress.settled();
  }
}

function endOf(outcome: EvaluationOutcome): EvaluationEvent {
  if (outcome.kind === 'succeeded') return { kind: 'succeeded', result: EvaluationResult.toJSON(outcome.result) };
  return { kind: 'released', reason: 'the worker is stopping and gave it back', failed: false };
}

/** Errors are ignored, because a remaining pin only keeps a checkpoint longer. */
async function unpin(store: ObjectStore, { evaluation, runUid }: EvaluationView, holderUid: string): Promise<void> {
  if (!hasEnded(evaluation.state) || evaluation.spec === undefined) return;
  const pin = { checkpoint: evaluation.spec.checkpoint, runUid, holderUid };
  await unpinCheckpoint(store, pin, AbortSignal.timeout(10_000)).catch(() => {});
}
