/**
 * Requests an evaluation when a checkpoint is committed, follows it in the background, and writes its end to the run's log: the result, or why
 * there is none. Requests are idempotent, so a new attempt repeats those whose ends are not in the log.
 */
import { createHash } from 'node:crypto';
import { AlreadyExists, DataLoss, DomainError, FailedPrecondition, InvalidArgument, NotFound, RemoteError } from '#errors/errors.js';
import { hidePlaces } from '#errors/hide-places.js';
import { type Evaluation, type EvaluationSpec, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import type { EvaluationRecord } from '#protocol/dropstream/v1/trainer.js';
import { wait } from '#rpc/retry.js';
import type { Logger } from '#telemetry/logger.js';
import { describeFailure } from '#work/attempt-end.js';
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

type Evaluated = Pick<KnownCheckpoint, 'name' | 'step'>;

/** What is known about an evaluation that is followed. */
interface Followed {
  /** Empty until the evaluator has answered. */
  name: string;
  /** The last error of a call that is repeated; undefined if the last call succeeded. */
  error: unknown;
}

export class CheckpointEvaluations {
  readonly #options: EvaluationsOptions;
  readonly #pending = new Map<string, Promise<void>>();
  readonly #ending = new AbortController();
  readonly #givingUp = new AbortController();
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
  begin(checkpoint: Evaluated): void {
    if (this.#pending.has(checkpoint.name)) return;
    this.#progressMs = performance.now();
    const done = this.#follow(checkpoint)
      .catch((error) => {
        if (this.#signal.aborted) return;
        this.#failure ??= { error };
        this.#options.logger.error({ error, checkpoint: checkpoint.name }, 'the end of an evaluation cannot be written');
      })
      .then(() => {
        this.#pending.delete(checkpoint.name);
        this.#progressMs = performance.now();
      });
    this.#pending.set(checkpoint.name, done);
  }

  /**
   * Resolves when no evaluation is pending. If none has made progress for `patienceMs`, those that are pending are given up, which is recorded
   * as their failure. Must be called once, at the end of the training.
   * @throws the error of an append; the signal's reason
   */
  async settle(patienceMs: number, signal: AbortSignal): Promise<void> {
    while (this.#pending.size > 0) {
      if (performance.now() - this.#progressMs >= patienceMs) this.#givingUp.abort(new GivenUp(patienceMs));
      await Promise.race([Promise.all(this.#pending.values()), wait(100, signal)]);
      signal.throwIfAborted();
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async close(): Promise<void> {
    this.#ending.abort(new Error('evaluations are no longer followed'));
    await Promise.all(this.#pending.values());
  }

  async #follow(checkpoint: Evaluated): Promise<void> {
    const begun = performance.now();
    const { append, onEnded, logger } = this.#options;
    const followed: Followed = { name: '', error: undefined };
    let ended: Evaluation | undefined;
    let failure = '';
    try {
      ended = await this.#untilEnded(checkpoint, followed);
      failure = failureOf(ended);
    } catch (error) {
      if (this.#signal.aborted) throw error;
      failure = this.#givingUp.signal.aborted ? givenUp(this.#givingUp.signal.reason as GivenUp, followed) : describeRefusal(error);
    }
    const { name } = followed;
    if (failure !== '') logger.warn({ evaluation: name, checkpoint: checkpoint.name, failure }, 'a checkpoint has no evaluation result');
    const result = failure === '' ? ended?.result : undefined;
    const record = { evaluation: name, result, checkpoint: checkpoint.name, step: BigInt(checkpoint.step), failure };
    await append(record);
    onEnded?.((performance.now() - begun) / 1000, record);
  }

  /** Repeats the request until the evaluation has ended, or a repeated request would fail in the same way. */
  async #untilEnded(checkpoint: Evaluated, followed: Followed): Promise<Evaluation> {
    const signal = AbortSignal.any([this.#signal, this.#givingUp.signal]);
    for (let pause = 200; ; pause = Math.min(longestPauseMs, 2 * pause)) {
      try {
        followed.name = await this.#create(checkpoint, signal);
        followed.error = undefined;
        const ended = await this.#watch(followed.name, signal);
        if (ended !== undefined) return ended;
      } catch (error) {
        if (signal.aborted || !mayPass(error)) throw error;
        followed.error = error;
        this.#options.logger.info({ error: String(error), checkpoint: checkpoint.name }, 'the evaluator does not answer yet');
      }
      await wait(pause, signal);
    }
  }

  async #create({ name }: Evaluated, signal: AbortSignal): Promise<string> {
    const { client, parent, runUid } = this.#options;
    const request = { parent, requestId: requestIdOf(name, runUid), spec: this.#evaluationSpec(name) };
    const { evaluation } = await client.createEvaluation(request, { timeoutMs: createTimeoutMs, signal });
    return evaluation?.name ?? '';
  }

  async #watch(name: string, signal: AbortSignal): Promise<Evaluation | undefined> {
    for await (const { evaluation } of this.#options.client.watchEvaluation({ name }, { signal })) {
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

/** The trainer no longer waits for evaluations. */
class GivenUp extends Error {
  override readonly name = 'GivenUp';
  constructor(readonly patienceMs: number) {
    super(`no evaluation made progress for ${patienceMs / 1000} s`);
  }
}

/** The id is derived from the checkpoint, so that every attempt requests the same evaluation. */
function requestIdOf(checkpoint: string, runUid: string): string {
  return `ckpt-${createHash('sha256').update(`${runUid} ${checkpoint}`).digest('hex').slice(0, 40)}`;
}

/** Why an evaluation that has ended has no result; empty if it has one. */
function failureOf({ state, failure, result }: Evaluation): string {
  if (state === EvaluationState.CANCELLED) return 'the evaluation was cancelled';
  if (state === EvaluationState.FAILED) return failure || 'the evaluation failed without a reason';
  return result?.weights === undefined ? 'the evaluation has no result' : '';
}

function givenUp({ patienceMs }: GivenUp, { name, error }: Followed): string {
  const waited = `within ${patienceMs / 1000} s after the training`;
  if (error !== undefined) return `the evaluator did not answer ${waited}; its last error: ${describeRefusal(error)}`;
  return name === '' ? `the evaluator did not answer ${waited}` : `the evaluation made no progress ${waited}`;
}

/** A domain error says what it is; of others the class is part of the message. */
function describeRefusal(error: unknown): string {
  return error instanceof DomainError ? hidePlaces(error.message) : describeFailure(error);
}

/** False if a repeated request would fail in the same way. An evaluation that was deleted while it was followed is requested again. */
function mayPass(error: unknown): boolean {
  if (error instanceof NotFound) return error.kind === 'evaluation';
  const lasting = [InvalidArgument, FailedPrecondition, AlreadyExists, DataLoss];
  return (error instanceof DomainError || error instanceof RemoteError) && !lasting.some((type) => error instanceof type);
}
