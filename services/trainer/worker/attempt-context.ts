/** The values that all parts of an attempt at a run use. */
import type { EngineName } from '#engine/index.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import type { SpanContext } from '#telemetry/tracing.js';
import type { DataAccess } from '#training/prepared-batches.js';
import type { ClaimedLog } from '#work/claimed-log.js';
import type { TrainerMetrics } from '../metrics.js';
import type { EvaluatorClient, SchedulerClient } from '../peers.js';
import type { EventBody, EventBodyAt } from '../run/run-log.js';
import { asResolved, type ResolvedSpec } from '../run/run-spec.js';
import type { RunView } from '../run/run-state.js';
import { claimedEngine } from './engine-choices.js';
import type { GroupAccess } from './group/group-steps.js';
import type { Inheritance } from './group/inheritance.js';
import type { RunPrograms } from './run-program.js';

export interface AttemptOptions {
  readonly programs: RunPrograms;
  readonly store: ObjectStore;
  readonly project: string;
  readonly run: string;
  readonly claimed: ClaimedLog<EventBodyAt, RunView>;
  readonly data: DataAccess;
  /** Without it, checkpoints are not evaluated. */
  readonly evaluator: EvaluatorClient | undefined;
  /** Without it, schedules are not followed. */
  readonly scheduler: SchedulerClient | undefined;
  /** Milliseconds without progress after which a run that has finished training stops waiting for its evaluations. */
  readonly evaluationWaitMs: number;
  /** What this process has of the run in memory, because it was in the group of the former owner; the attempt disposes of it. */
  readonly inheritance: Inheritance | undefined;
  /** Without it, no other worker helps with the run. */
  readonly group: GroupAccess | undefined;
  readonly metrics: TrainerMetrics;
  readonly logger: Logger;
  /** The span of this attempt, which parts of it name as their parent. */
  readonly span: SpanContext;
  /** Aborts when this worker should give the run back: after the step under way if that ends in time, otherwise without it. */
  readonly stopping: AbortSignal;
  /** Milliseconds that the step under way may take to end after that. */
  readonly stopStepMs: number;
}

export interface AttemptContext extends AttemptOptions {
  readonly spec: ResolvedSpec;
  /** Engine of this claim: the spec's, or the one that was chosen for AUTO. */
  readonly engine: EngineName;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  /** Appends to the run's log. @throws ClaimLost, WorkEnded */
  append(body: EventBody): Promise<void>;
}

export function attemptContext(options: AttemptOptions): AttemptContext {
  const { claimed } = options;
  const { run } = claimed.view;
  return {
    ...options,
    spec: asResolved(run.spec!),
    engine: claimedEngine(claimed.view),
    stepsPerEpoch: Number(run.stepsPerEpoch),
    totalSteps: Number(run.totalSteps),
    append: async (body) => {
      await claimed.append(() => ({ body }));
    },
  };
}
