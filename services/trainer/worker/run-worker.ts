/** Claims runs and sees each attempt to its end in the log: trained, paused, given back, failed, or lost to somebody else. */

import { InvalidArgument } from '#errors/errors.js';
import { UnknownModel } from '#nn/models/registry.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { ClaimLost, WorkEnded } from '#work/claimed-log.js';
import { type Attempt, ClaimedWorker } from '#work/claimed-worker.js';
import type { SchedulerClient } from '../api/create-run.js';
import type { TrainerConfig } from '../config.js';
import type { TrainerMetrics } from '../metrics.js';
import { type EventBody, type EventBodyAt, heartbeatPrefix, openRunLog, runPrefix, runQueue, standingOf } from '../run/run-log.js';
import type { RunView } from '../run/run-state.js';
import type { EvaluatorClient } from './evaluations.js';
import { FinetuneMismatch } from './finetune.js';
import { type AttemptOutcome, attemptRun } from './run-attempt.js';
import { NonFiniteLoss } from './run-loop.js';
import { TooManyUndecodable } from './undecodable.js';

export interface WorkerDeps {
  readonly store: ObjectStore;
  readonly config: Pick<
    TrainerConfig,
    | 'data'
    | 'workers'
    | 'pollMs'
    | 'leaseTtlMs'
    | 'maxAttempts'
    | 'backoffMs'
    | 'prefetch'
    | 'prefetchBytes'
    | 'dataWaitMs'
    | 'evaluationWaitMs'
  >;
  readonly evaluator: EvaluatorClient | undefined;
  readonly scheduler: SchedulerClient | undefined;
  readonly metrics: TrainerMetrics;
  readonly logger: Logger;
}

export type RunWorker = ClaimedWorker<EventBodyAt, RunView>;

/** Whoever starts it stops it: that gives every run back at its next step, with a checkpoint. */
export function createRunWorker(deps: WorkerDeps): RunWorker {
  const { store, config, metrics, logger } = deps;
  return new ClaimedWorker({
    kind: 'run',
    queue: runQueue(store),
    store,
    config,
    logger,
    openLog: ({ project, id }) => openRunLog(store, project, id),
    name: ({ project, id }) => runPrefix(project, id),
    heartbeatPrefix: ({ project, id }) => heartbeatPrefix(project, id),
    standing: standingOf,
    claim: (view, worker) => ({ body: { $case: 'claimed', value: { attempt: view.run.attempt + 1, worker } } }),
    attempt: (attempt) => attemptAndRecord(deps, attempt),
    release: ({ project, id }) => metrics.forget(project, id),
    onOutcome: (outcome) => metrics.attempts.inc({ outcome }),
    onDepth: (waiting) => metrics.queueDepth.set(waiting),
    onActive: (active) => metrics.runsActive.set(active),
  });
}

/** Runs one attempt and writes its end. */
async function attemptAndRecord(deps: WorkerDeps, attempt: Attempt<EventBodyAt, RunView>): Promise<string> {
  const { store, config, evaluator, scheduler, metrics } = deps;
  const { claimed, logger, project, id, stopping } = attempt;
  const { data, prefetch, prefetchBytes, dataWaitMs, evaluationWaitMs, maxAttempts } = config;
  try {
    if (claimed.view.fruitlessAttempts > maxAttempts) throw new TooManyAttempts(maxAttempts);
    const outcome = await attemptRun({
      project,
      run: id,
      logger,
      stopping,
      store,
      claimed,
      data: { addresses: data, inFlight: prefetch, inFlightBytes: prefetchBytes, totalMs: dataWaitMs },
      evaluator,
      scheduler,
      evaluationWaitMs,
      metrics,
    });
    await claimed.append((view) => ({ body: endOf(outcome, view) }));
    return outcome.kind;
  } catch (error) {
    if (error instanceof ClaimLost || error instanceof WorkEnded) {
      logger.info({ reason: error.message }, 'the run is no longer ours');
      return 'lost';
    }
    if (claimed.signal.aborted) return 'lost';
    const hopeless = isDeterministic(error) || claimed.view.fruitlessAttempts >= maxAttempts;
    const reason = describe(error);
    logger.error({ error, hopeless }, 'the attempt failed');
    await claimed.append(() => stateBody(hopeless ? RunState.FAILED : RunState.QUEUED, reason));
    return hopeless ? 'failed' : 'retried';
  }
}

/** Owners vanished again and again before the run got any further. */
class TooManyAttempts extends Error {
  override readonly name = 'TooManyAttempts';
  constructor(readonly attempts: number) {
    super(`${attempts} attempts in a row ended without a further checkpoint; the workers' logs say why`);
  }
}

function endOf(outcome: AttemptOutcome, view: RunView): EventBody {
  if (outcome.kind === 'trained') return stateBody(RunState.SUCCEEDED, outcome.note).body;
  // A request that arrived while the worker was stopping is honoured here.
  if (outcome.kind === 'paused' || view.run.pauseRequested) return stateBody(RunState.PAUSED, 'paused by request').body;
  return stateBody(RunState.QUEUED, 'given back: its worker is stopping', true).body;
}

function stateBody(state: RunState, reason: string, released = false): { body: EventBody } {
  return { body: { $case: 'state', value: { state, reason, released } } };
}

/** Failures that every further attempt would meet again. */
function isDeterministic(error: unknown): boolean {
  return (
    error instanceof NonFiniteLoss ||
    error instanceof TooManyUndecodable ||
    error instanceof FinetuneMismatch ||
    error instanceof UnknownModel ||
    error instanceof InvalidArgument ||
    error instanceof TooManyAttempts
  );
}

function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.length > 2000 ? `${text.slice(0, 1997)}...` : text;
}
