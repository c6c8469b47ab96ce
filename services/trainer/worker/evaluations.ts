/**
 * Requests an evaluation when a checkpoint is committed, follows it in the background, and writes its end to the run's log: the result, or why
 * there is none. Requests are idempotent, so a new attempt repeats those whose ends are not in the log.
 */
import type { Evaluation, EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import type { EvaluationRecord } from '#protocol/dropstream/v1/trainer.js';
import { wait } from '#rpc/retry.js';
import type { Logger } from '#telemetry/logger.js';
import type { EvaluatorClient } from '../peers.js';
import { evaluatesHeldOut } from '../run/batch-plans.js';
import type { ResolvedSpec } from '../run/run-spec.js';
import type { KnownCheckpoint } from '../run/run-state.js';
import { describeRefusal, endedBadly, evaluated, type Followed, requestIdOf } from './followed-evaluation.js';

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

type Evaluated = Pick<KnownCheckpoint, 'name' | 'step'>;

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

  async #untilEnded({ name }: Evaluated, followed: Followed): Promise<Evaluation> {
    const { client, parent, runUid, logger } = this.#options;
    return await evaluated({
      client,
      request: { parent, requestId: requestIdOf('ckpt', name, runUid), spec: this.#evaluationSpec(name) },
      logger,
      signal: AbortSignal.any([this.#signal, this.#givingUp.signal]),
      followed,
      onProgress: () => {
        this.#progressMs = performance.now();
      },
    });
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

/** Why an evaluation that has ended has no result; empty if it has one. */
function failureOf({ state, failure, result }: Evaluation): string {
  return endedBadly({ state, failure }) || (result?.weights === undefined ? 'the evaluation has no result' : '');
}

function givenUp({ patienceMs }: GivenUp, { name, error }: Followed): string {
  const waited = `within ${patienceMs / 1000} s after the training`;
  if (error !== undefined) return `the evaluator did not answer ${waited}; its last error: ${describeRefusal(error)}`;
  return name === '' ? `the evaluator did not answer ${waited}` : `the evaluation made no progress ${waited}`;
}
