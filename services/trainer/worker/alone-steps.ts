/** Computes the steps of a run in this process alone. */
import type { BatchFailure } from '#data/client/batch-client.js';
import type { LossScaling, Program } from '#engine/index.js';
import type { AttemptContext } from './attempt-context.js';
import type { Computation } from './computation.js';
import type { StepTraces } from './step-traces.js';
import { openTrainingBatches } from './training-batches.js';
import type { WaitingStatus } from './waiting-status.js';
import { wholeSteps } from './whole-steps.js';

export interface AloneStepsOptions {
  readonly program: Program;
  readonly fromStep: number;
  /** With precision f16: the state of the loss scaling before that step. */
  readonly lossScaling: LossScaling | undefined;
  readonly waiting: WaitingStatus;
  readonly onFailure: (failure: BatchFailure) => void;
  /** What the run waits for when it waits for data. */
  readonly whyNoData: () => string;
  readonly during: <T>(step: () => Promise<T>) => Promise<T>;
  readonly traces: StepTraces | undefined;
}

/** The caller closes it. */
export function aloneSteps(context: AttemptContext, options: AloneStepsOptions): Computation {
  const { spec, claimed } = context;
  const { program, fromStep, lossScaling, waiting, onFailure, whyNoData, during, traces } = options;
  const batches = openTrainingBatches(context, program, fromStep, onFailure, traces);
  const next = (signal: AbortSignal) => waiting.during(whyNoData, batches.next(signal));
  return {
    compute: wholeSteps({ program, spec, dropKind: claimed.view.dropKind, lossScaling, batches: { next }, during }),
    check: async () => {},
    cancel: () => program.cancel(),
    close: () => batches.close(),
  };
}
