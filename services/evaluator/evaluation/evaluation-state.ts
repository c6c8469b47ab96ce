/** Computes the state of an evaluation as a pure fold of its log. Records are JSON. */
import { Evaluation, EvaluationResult, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import type { RecordedSpan } from '#telemetry/tracing.js';

/** `at` is the time of the record in milliseconds since 1970, set by the log, for information only. */
export type EvaluationEvent = { readonly at?: number } & (
  | {
      readonly kind: 'created';
      readonly evaluation: unknown;
      readonly specDigest: string;
      readonly runUid: string;
      readonly requestId: string;
      /** The call that created it; absent in evaluations of older versions. */
      readonly trace?: RecordedSpan;
    }
  /** `succeeds`: the former owner, where the new one knew that it had ended. */
  | { readonly kind: 'claimed'; readonly attempt: number; readonly worker: string; readonly succeeds?: string }
  | { readonly kind: 'progress'; readonly samplesDone: number; readonly samplesTotal: number }
  /** The worker gave the evaluation back, because it is stopping or because the attempt failed and another one may succeed. */
  | { readonly kind: 'released'; readonly reason: string; readonly failed: boolean }
  | { readonly kind: 'succeeded'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly failure: string }
  | { readonly kind: 'cancelled' }
);

export interface EvaluationView {
  readonly evaluation: Evaluation;
  /** Identifies the newest claim. */
  readonly owner: string;
  /** Sequence of the newest claim; 0 before the first one. */
  readonly fence: number;
  readonly attempt: number;
  /** Number of attempts that ended without a result. */
  readonly fruitlessAttempts: number;
  readonly specDigest: string;
  /** Of the request that created the evaluation; empty if it had none. */
  readonly requestId: string;
  /** Uid of the run whose checkpoint is evaluated. */
  readonly runUid: string;
  /** The call that created it; absent in evaluations of older versions. */
  readonly trace?: RecordedSpan;
}

const terminal = new Set([EvaluationState.SUCCEEDED, EvaluationState.FAILED, EvaluationState.CANCELLED]);

export function hasEnded(state: EvaluationState): boolean {
  return terminal.has(state);
}

/** The view after an event. `view` is undefined before the first record, which must be `created`. */
export function applyEvent(view: EvaluationView | undefined, event: EvaluationEvent, sequence: number): EvaluationView {
  if (view === undefined) {
    if (event.kind !== 'created') throw new Error(`the log of an evaluation begins with ${event.kind} instead of created`);
    const evaluation = Evaluation.fromJSON(event.evaluation);
    return {
      evaluation: {
        ...evaluation,
        state: EvaluationState.PENDING,
        createTime: event.at === undefined ? undefined : new Date(event.at),
        logSequence: BigInt(sequence),
        etag: etagOf(evaluation, sequence),
      },
      owner: '',
      fence: 0,
      attempt: 0,
      fruitlessAttempts: 0,
      specDigest: event.specDigest,
      requestId: event.requestId,
      runUid: event.runUid,
      ...(event.trace && { trace: event.trace }),
    };
  }
  const next = changed(view, event, sequence);
  return { ...next, evaluation: { ...next.evaluation, logSequence: BigInt(sequence), etag: etagOf(next.evaluation, sequence) } };
}

/** The sequence alone would fit another evaluation of the same name. */
const etagOf = ({ uid }: Evaluation, sequence: number): string => `${uid.slice(0, 16)}-${sequence}`;

function changed(view: EvaluationView, event: EvaluationEvent, sequence: number): EvaluationView {
  const withPart = (part: Partial<Evaluation>, rest: Partial<EvaluationView> = {}): EvaluationView => ({
    ...view,
    ...rest,
    evaluation: { ...view.evaluation, ...part },
  });
  switch (event.kind) {
    case 'claimed':
      return withPart(
        { state: EvaluationState.RUNNING, samplesDone: 0n },
        { owner: event.worker, fence: sequence, attempt: event.attempt, fruitlessAttempts: view.fruitlessAttempts + 1 },
      );
    case 'progress':
      return withPart({ samplesDone: BigInt(event.samplesDone), samplesTotal: BigInt(event.samplesTotal) });
    case 'released':
      return withPart(
        { state: EvaluationState.PENDING },
        { fruitlessAttempts: event.failed ? view.fruitlessAttempts : Math.max(0, view.fruitlessAttempts - 1) },
      );
    case 'succeeded': {
      const result = EvaluationResult.fromJSON(event.result);
      return withPart({ state: EvaluationState.SUCCEEDED, result, samplesDone: result.samples, samplesTotal: result.samples });
    }
    case 'failed':
      return withPart({ state: EvaluationState.FAILED, failure: event.failure });
    case 'cancelled':
      return withPart({ state: EvaluationState.CANCELLED });
    case 'created':
      return view;
    default:
      // Records of kinds that a newer release added are ignored.
      return view;
  }
}
