/** Asks the evaluator for an evaluation and follows it to its end, however often the evaluator goes away meanwhile. */
import { createHash } from 'node:crypto';
import { AlreadyExists, DataLoss, DomainError, FailedPrecondition, InvalidArgument, NotFound, RemoteError } from '#errors/errors.js';
import { hidePlaces } from '#errors/hide-places.js';
import { type Evaluation, type EvaluationSpec, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { wait } from '#rpc/retry.js';
import type { Logger } from '#telemetry/logger.js';
import { describeFailure } from '#work/attempt-end.js';
import type { EvaluatorClient } from '../peers.js';

export interface AskedEvaluation {
  readonly client: EvaluatorClient;
  readonly request: { readonly parent: string; readonly requestId: string; readonly spec: EvaluationSpec };
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Kept up to date. */
  readonly followed: Followed;
  /** Called whenever the evaluator tells something. */
  readonly onProgress?: () => void;
}

/** What is known about an evaluation that is followed. */
export interface Followed {
  /** Empty until the evaluator has answered. */
  name: string;
  /** The last error of a call that is repeated; undefined if the last call succeeded. */
  error: unknown;
}

const createTimeoutMs = 20_000;
const longestPauseMs = 5_000;

/** Repeats the request until the evaluation has ended. @throws what a repeated request would fail with, too; the signal's reason */
export async function evaluated({ client, request, logger, signal, followed, onProgress }: AskedEvaluation): Promise<Evaluation> {
  for (let pause = 200; ; pause = Math.min(longestPauseMs, 2 * pause)) {
    try {
      const { evaluation: created } = await client.createEvaluation(request, { timeoutMs: createTimeoutMs, signal });
      followed.name = created?.name ?? '';
      followed.error = undefined;
      for await (const { evaluation } of client.watchEvaluation({ name: followed.name }, { signal })) {
        onProgress?.();
        if (evaluation !== undefined && evaluation.state >= EvaluationState.SUCCEEDED) return evaluation;
      }
    } catch (error) {
      if (signal.aborted || !mayPass(error)) throw error;
      followed.error = error;
      logger.info({ error: String(error), checkpoint: request.spec.checkpoint }, 'the evaluator does not answer yet');
    }
    await wait(pause, signal);
  }
}

/** The id is derived from the checkpoint, so that every attempt requests the same evaluation. @param purpose tells evaluations of one checkpoint apart */
export function requestIdOf(purpose: string, checkpoint: string, runUid: string): string {
  return `${purpose}-${createHash('sha256').update(`${runUid} ${checkpoint}`).digest('hex').slice(0, 40)}`;
}

/** Why an evaluation that has ended did not succeed; empty if it did. */
export function endedBadly({ state, failure }: Pick<Evaluation, 'state' | 'failure'>): string {
  if (state === EvaluationState.CANCELLED) return 'the evaluation was cancelled';
  return state === EvaluationState.FAILED ? failure || 'the evaluation failed without a reason' : '';
}

/** A domain error says what it is; of others the class is part of the message. */
export function describeRefusal(error: unknown): string {
  return error instanceof DomainError ? hidePlaces(error.message) : describeFailure(error);
}

/** False if a repeated request would fail in the same way. An evaluation that was deleted while it was followed is requested again. */
function mayPass(error: unknown): boolean {
  if (error instanceof NotFound) return error.kind === 'evaluation';
  const lasting = [InvalidArgument, FailedPrecondition, AlreadyExists, DataLoss];
  return (error instanceof DomainError || error instanceof RemoteError) && !lasting.some((type) => error instanceof type);
}
