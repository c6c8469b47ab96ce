/** Claims runs and sees each attempt to its end in the log: trained, paused, given back, failed, or lost to somebody else. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { UnknownModel } from '#nn/models/registry.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { InvalidArgument } from '#rpc/errors.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { Claimant } from '#work/claimant.js';
import { ClaimedLog, ClaimLost, WorkEnded } from '#work/claimed-log.js';
import type { QueueEntry } from '#work/queue-index.js';
import type { TrainerConfig } from './config.js';
import type { SchedulerClient } from './create-run.js';
import type { EvaluatorClient } from './evaluations.js';
import type { TrainerMetrics } from './metrics.js';
import { type AttemptOutcome, attemptRun } from './run-attempt.js';
import { type EventBody, type EventBodyAt, heartbeatPrefix, openRunLog, type RunLog, runPrefix, runQueue, standingOf } from './run-log.js';
import { NonFiniteLoss } from './run-loop.js';
import type { RunView } from './run-state.js';
import { FinetuneMismatch } from './training-state.js';
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

const keptLogs = 1024;

export class RunWorker {
  readonly #deps: WorkerDeps;
  readonly #claimant: Claimant;
  /** Logs of queued runs, read on from where they were. */
  readonly #logs = new Map<string, RunLog>();

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    const { store, config, metrics, logger } = deps;
    this.#claimant = new Claimant({
      queue: runQueue(store),
      store,
      ttlMs: config.leaseTtlMs,
      pollMs: config.pollMs,
      slots: config.workers,
      backOff: { firstMs: config.backoffMs, maxAttempts: config.maxAttempts },
      logger,
      standing: async ({ project, id }, signal) => {
        const log = this.#log(project, id);
        const view = await log.refresh(signal);
        return view && { ...standingOf(view), sequence: log.sequence };
      },
      heartbeatPrefix: ({ project, id }) => heartbeatPrefix(project, id),
      work: (entry, seenFence, stopping) => this.#work(entry, seenFence, stopping),
      onDepth: (waiting) => metrics.queueDepth.set(waiting),
      onActive: (active) => metrics.runsActive.set(active),
    });
  }

  start(): void {
    this.#claimant.start();
  }

  /** Gives every run back at its next step, with a checkpoint, and resolves once that is done. */
  async stop(): Promise<void> {
    await this.#claimant.stop();
  }

  async #work({ project, id }: QueueEntry, seenFence: number, stopping: AbortSignal): Promise<boolean> {
    const { store, config, metrics } = this.#deps;
    const logger = this.#deps.logger.child({ project, run: id });
    const log = this.#log(project, id);
    this.#logs.delete(`${project}/${id}`);
    const worker = `${hostname()}:${process.pid}:${randomBytes(6).toString('hex')}`;
    const view = await log.append((now) => (now && mayClaim(now, seenFence) ? claimOf(now, worker) : undefined));
    if (view?.owner !== worker) return false;
    const claimed = await ClaimedLog.start({
      work: runPrefix(project, id),
      log,
      fence: view.fence,
      standing: standingOf,
      store,
      heartbeatPrefix: heartbeatPrefix(project, id),
      owner: worker,
      ttlMs: config.leaseTtlMs,
      pollMs: config.pollMs,
      onHeartbeatLost: (error) => logger.warn({ error }, 'no heartbeat could be written; others may take the run over'),
    });
    try {
      const outcome = await this.#attempt(claimed, { project, run: id, logger, stopping });
      metrics.attempts.inc({ outcome });
      logger.info({ outcome, step: Number(claimed.view.run.step) }, 'the attempt ended');
    } catch (error) {
      // Only the log itself fails here: whoever reads it sees a run without heartbeats and takes it over.
      metrics.attempts.inc({ outcome: 'unknown' });
      logger.error({ error }, 'the end of the attempt could not be written');
    } finally {
      await claimed.stop();
      await metrics.forget(project, id);
    }
    return true;
  }

  /** Runs one attempt and writes its end. Returns what became of it, for the counter. */
  async #attempt(
    claimed: ClaimedLog<EventBodyAt, RunView>,
    entry: { project: string; run: string; logger: Logger; stopping: AbortSignal },
  ): Promise<string> {
    const { store, config, evaluator, scheduler, metrics } = this.#deps;
    const { data, prefetch, prefetchBytes, dataWaitMs, evaluationWaitMs, maxAttempts } = config;
    try {
      if (claimed.view.fruitlessAttempts > maxAttempts) throw new TooManyAttempts(maxAttempts);
      const outcome = await attemptRun({
        ...entry,
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
        entry.logger.info({ reason: error.message }, 'the run is no longer ours');
        return 'lost';
      }
      if (claimed.signal.aborted) return 'lost';
      const hopeless = isDeterministic(error) || claimed.view.fruitlessAttempts >= maxAttempts;
      const reason = describe(error);
      entry.logger.error({ error, hopeless }, 'the attempt failed');
      await claimed.append(() => stateBody(hopeless ? RunState.FAILED : RunState.QUEUED, reason));
      return hopeless ? 'failed' : 'retried';
    }
  }

  #log(project: string, id: string): RunLog {
    const key = `${project}/${id}`;
    const known = this.#logs.get(key) ?? openRunLog(this.#deps.store, project, id);
    this.#logs.set(key, known);
    if (this.#logs.size > keptLogs) this.#logs.delete(this.#logs.keys().next().value as string);
    return known;
  }
}

/** Owners vanished again and again before the run got any further. */
class TooManyAttempts extends Error {
  override readonly name = 'TooManyAttempts';
  constructor(readonly attempts: number) {
    super(`${attempts} attempts in a row ended without a further checkpoint; the workers' logs say why`);
  }
}

function mayClaim(view: RunView, seenFence: number): boolean {
  const { state, fence } = standingOf(view);
  return state !== 'over' && fence === seenFence;
}

function claimOf(view: RunView, worker: string): EventBodyAt {
  return { body: { $case: 'claimed', value: { attempt: view.run.attempt + 1, worker } } };
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
