/**
 * Requests an evaluation when a checkpoint is committed, follows it in the background, and writes the result to the run's log. Requests are
 * idempotent, so a new attempt repeats those whose results are not in the log.
 */
import { createHash } from 'node:crypto';
import { AlreadyExists, DomainError, FailedPrecondition, InvalidArgument, NotFound } from '#errors/errors.js';
import { type Evaluation, type EvaluationSpec, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import type { EvaluationRecord } from '#protocol/dropstream/v1/trainer.js';
import { wait } from '#rpc/retry.js';
import type { Logger } from '#telemetry/logger.js';
import type { EvaluatorClient } from '../peers.js';
import { evaluatesHeldOut } from '../run/batch-plans.js';
import type { ResolvedSpec } from '../run/run-spec.js';
import type { KnownCheckpoint } from '../run/run-state.js';

export interface EvaluationsOptions {
  readonly client: EvaluatorClient;
  /** projects/{project} */
  readonly parent: string;
  readonly spec: ResolvedSpec;
  /** Uid of the run. */
  readonly runUid: string;
  readonly logger: Logger;
  /** Writes the record; the log decides `best`. */
  readonly append: (record: Omit<EvaluationRecord, 'best'>) => Promise<void>;
  /** Called with the seconds from the request to the end. */
  readonly onEnded?: (seconds: number, record: Omit<EvaluationRecord, 'best'>) => void;
  /** Aborting it ends all requests. */
  readonly signal: AbortSignal;
}

const createTimeoutMs = 20_000;
const longestPauseMs = 5_000;

export class CheckpointEvaluations {
  readonly #options: EvaluationsOptions;
  readonly #pending = new Map<string, Promise<void>>();
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  #progressMs = performance.now();
  #failure: { readonly error: unknown } | undefined;

  constructor(options: EvaluationsOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#ending.signal]);
  }

  get pending(): readonly string[] {
    return [...this.#pending.keys()];
  }

  /** Requests the evaluation of a checkpoint and follows it, unless this was done before. */
  begin(checkpoint: KnownCheckpoint): void {
    if (this.#pending.has(checkpoint.name)) return;
    this.#progressMs = performance.now();
    const done = this.#follow(checkpoint)
      .catch((error) => {
        if (this.#signal.aborted) return;
        this.#failure ??= { error };
        this.#options.logger.error({ error, checkpoint: checkpoint.name }, 'an evaluation cannot be followed');
      })
      .then(() => {
        this.#pending.delete(checkpoint.name);
        this.#progressMs = performance.now();
      });
    this.#pending.set(checkpoint.name, done);
  }

  /**
   * Resolves when no evaluation is pending, or none has made progress for `patienceMs`. @returns the names that are still pending
   * @throws the error of an append; the signal's reason
   */
  async settle(patienceMs: number, signal: AbortSignal): Promise<readonly string[]> {
    while (this.#pending.size > 0 && performance.now() - this.#progressMs < patienceMs) {
      await Promise.race([Promise.all(this.#pending.values()), wait(100, signal)]);
      signal.throwIfAborted();
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.pending;
  }

  async close(): Promise<void> {
    this.#ending.abort(new Error('evaluations are no longer followed'));
    await Promise.all(this.#pending.values());
  }

  async #follow(checkpoint: KnownCheckpoint): Promise<void> {
    const begun = performance.now();
    const { append, onEnded, logger } = this.#options;
    let name = '';
    let ended: Evaluation | undefined;
    try {
      ({ name, ended } = await this.#untilEnded(checkpoint));
    } catch (error) {
      if (!isFinal(error) || this.#signal.aborted) throw error;
      logger.warn({ error, checkpoint: checkpoint.name }, 'a checkpoint cannot be evaluated');
    }
    if (ended !== undefined && ended.state !== EvaluationState.SUCCEEDED) {
      logger.warn({ evaluation: name, checkpoint: checkpoint.name, failure: ended.failure }, 'an evaluation ended without a result');
    }
    const record = { evaluation: name, result: ended?.result, checkpoint: checkpoint.name, step: BigInt(checkpoint.step), failure: '' };
    await append(record);
    onEnded?.((performance.now() - begun) / 1000, record);
  }

  /** Repeats the request until the evaluator answers or the signal aborts. */
  async #untilEnded(checkpoint: KnownCheckpoint): Promise<{ name: string; ended: Evaluation }> {
    for (let pause = 200; ; pause = Math.min(longestPauseMs, 2 * pause)) {
      try {
        const name = await this.#create(checkpoint);
        const ended = await this.#watch(name);
        if (ended !== undefined) return { name, ended };
      } catch (error) {
        if (this.#signal.aborted || isFinal(error) || !(error instanceof DomainError)) throw error;
        this.#options.logger.info({ error: String(error), checkpoint: checkpoint.name }, 'the evaluator does not answer yet');
      }
      await wait(pause, this.#signal);
    }
  }

  async #create({ name }: KnownCheckpoint): Promise<string> {
    const { client, parent, runUid } = this.#options;
    const request = { parent, requestId: requestIdOf(name, runUid), spec: this.#evaluationSpec(name) };
    const { evaluation } = await client.createEvaluation(request, { timeoutMs: createTimeoutMs, signal: this.#signal });
    return evaluation?.name ?? '';
  }

  async #watch(name: string): Promise<Evaluation | undefined> {
    for await (const { evaluation } of this.#options.client.watchEvaluation({ name }, { signal: this.#signal })) {
      this.#progressMs = performance.now();
      if (evaluation !== undefined && evaluation.state >= EvaluationState.SUCCEEDED) return evaluation;
    }
    return undefined;
  }

  #evaluationSpec(checkpoint: string): EvaluationSpec {
    const { spec } = this.#options;
    const heldOut = evaluatesHeldOut(spec);
    return {
      checkpoint,
      manifest: spec.evalManifest,
      batchSize: undefined,
      ema: spec.modelEmaEval,
      cropPct: spec.cropPct,
      engine: undefined,
      precision: undefined,
      subsetStride: heldOut ? spec.holdoutStride : undefined,
      subsetOffset: heldOut ? spec.holdoutOffset : undefined,
    };
  }
}

/** The id is derived from the checkpoint, so that every attempt requests the same evaluation. */
function requestIdOf(checkpoint: string, runUid: string): string {
  return `ckpt-${createHash('sha256').update(`${runUid} ${checkpoint}`).digest('hex').slice(0, 40)}`;
}

/** True if a repeated request would fail in the same way. */
function isFinal(error: unknown): boolean {
  return (
    error instanceof NotFound || error instanceof InvalidArgument || error instanceof FailedPrecondition || error instanceof AlreadyExists
  );
}
