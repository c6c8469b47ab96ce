/** Claims evaluations and sees each attempt to its end in the log. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { UnknownModel } from '#nn/models/registry.js';
import { EvaluationResult, type EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import { InvalidArgument } from '#rpc/errors.js';
import { CheckpointDamaged } from '#storage/checkpoint-manifest.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { unpinCheckpoint } from '#work/checkpoint-pins.js';
import { Claimant } from '#work/claimant.js';
import { ClaimedLog, ClaimLost, WorkEnded } from '#work/claimed-log.js';
import type { QueueEntry } from '#work/queue-index.js';
import { NotATrainingCheckpoint } from '#work/training-metadata.js';
import type { EvaluatorConfig } from './config.js';
import { type EvaluationLog, evaluationPrefix, evaluationQueue, heartbeatPrefix, openEvaluationLog, standingOf } from './evaluation-log.js';
import { type EvaluationEvent, type EvaluationView, hasEnded } from './evaluation-state.js';
import type { EvaluatorMetrics } from './metrics.js';
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

const keptLogs = 1024;
const progressEveryMs = 1000;

export class EvaluationWorker {
  readonly #deps: EvaluationWorkerDeps;
  readonly #claimant: Claimant;
  readonly #logs = new Map<string, EvaluationLog>();

  constructor(deps: EvaluationWorkerDeps) {
    this.#deps = deps;
    const { store, config, metrics, logger } = deps;
    this.#claimant = new Claimant({
      queue: evaluationQueue(store),
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
      onActive: (active) => metrics.active.set(active),
    });
  }

  start(): void {
    this.#claimant.start();
  }

  /** Gives every evaluation back and resolves once that is done: it starts anew elsewhere. */
  async stop(): Promise<void> {
    await this.#claimant.stop();
  }

  async #work({ project, id }: QueueEntry, seenFence: number, stopping: AbortSignal): Promise<boolean> {
    const { store, config, metrics } = this.#deps;
    const logger = this.#deps.logger.child({ project, evaluation: id });
    const log = this.#log(project, id);
    this.#logs.delete(`${project}/${id}`);
    const worker = `${hostname()}:${process.pid}:${randomBytes(6).toString('hex')}`;
    const view = await log.append((now) =>
      now && mayClaim(now, seenFence) ? { kind: 'claimed', attempt: now.attempt + 1, worker } : undefined,
    );
    if (view?.owner !== worker) return false;
    const claimed = await ClaimedLog.start({
      work: evaluationPrefix(project, id),
      log,
      fence: view.fence,
      standing: standingOf,
      store,
      heartbeatPrefix: heartbeatPrefix(project, id),
      owner: worker,
      ttlMs: config.leaseTtlMs,
      pollMs: config.pollMs,
      onHeartbeatLost: (error) => logger.warn({ error }, 'no heartbeat could be written; others may take the evaluation over'),
    });
    try {
      const outcome = await this.#attempt(claimed, project, logger, stopping);
      metrics.attempts.inc({ outcome });
      logger.info({ outcome }, 'the attempt ended');
    } catch (error) {
      metrics.attempts.inc({ outcome: 'unknown' });
      logger.error({ error }, 'the end of the attempt could not be written');
    } finally {
      await claimed.stop();
      await this.#unpin(claimed.view, id);
    }
    return true;
  }

  async #attempt(
    claimed: ClaimedLog<EvaluationEvent, EvaluationView>,
    project: string,
    logger: Logger,
    stopping: AbortSignal,
  ): Promise<string> {
    const { store, config, metrics } = this.#deps;
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
  async #unpin({ evaluation }: EvaluationView, id: string): Promise<void> {
    if (!hasEnded(evaluation.state) || evaluation.spec === undefined) return;
    await unpinCheckpoint(this.#deps.store, evaluation.spec.checkpoint, id, AbortSignal.timeout(10_000)).catch(() => {});
  }

  #log(project: string, id: string): EvaluationLog {
    const key = `${project}/${id}`;
    const known = this.#logs.get(key) ?? openEvaluationLog(this.#deps.store, project, id);
    this.#logs.set(key, known);
    if (this.#logs.size > keptLogs) this.#logs.delete(this.#logs.keys().next().value as string);
    return known;
  }
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

function mayClaim(view: EvaluationView, seenFence: number): boolean {
  const { state, fence } = standingOf(view);
  return state !== 'over' && fence === seenFence;
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
