/** Trains a run in one attempt: runs the steps to the end, records them and saves checkpoints. */
import type { BatchFailure } from '#data/client/batch-client.js';
import { type Program, StepCancelled } from '#engine/index.js';
import { DomainError } from '#errors/errors.js';
import { isTracing } from '#telemetry/spans.js';
import { runWithSpan } from '#telemetry/tracing.js';
import { runRates } from '../run/run-rates.js';
import type { AttemptContext } from './attempt-context.js';
import { Interrupted, type Interruption } from './interruption.js';
import { ProgressRecorder } from './progress-recorder.js';
import type { RunCheckpoints } from './run-checkpoints.js';
import { type TrainedStep, trainSteps } from './run-loop.js';
import { ScheduleChanges } from './schedule-changes.js';
import { StepTraces } from './step-traces.js';
import { StepUnderWay } from './step-under-way.js';
import type { StepsRecorder } from './steps-recorder.js';
import { openTrainingBatches } from './training-batches.js';
import type { Progress } from './training-state.js';
import type { WaitingStatus } from './waiting-status.js';

export interface TrainingParts {
  readonly program: Program;
  readonly steps: StepsRecorder;
  readonly checkpoints: RunCheckpoints;
  readonly interruption: Interruption;
  readonly waiting: WaitingStatus;
}

/**
 * Trains from `from` to the end of the run. Everything is decided between two steps, except that a step is cancelled for which a stop leaves no time.
 * @throws Interrupted, or what the data service refuses with, after saving what there is; NonFiniteLoss, TooManyUndecodable
 */
export async function train(context: AttemptContext, parts: TrainingParts, from: Progress): Promise<void> {
  const { spec, stepsPerEpoch, totalSteps, claimed, project, run } = context;
  const { program, checkpoints, waiting } = parts;
  const recorder = new ProgressRecorder(context, parts.steps, from);
  let trouble = '';
  const traces = isTracing() ? new StepTraces({ attempt: context.span, project, run, fromStep: from.step }) : undefined;
  const onFailure = (failure: BatchFailure): void => {
    trouble = `; the last answer: ${(failure.error as Error).message}`;
  };
  const batches = openTrainingBatches(context, program, from.step, onFailure, traces);
  const next = async (signal: AbortSignal) => {
    const batch = await waiting.during(() => `waits for data${trouble}`, batches.next(signal));
    trouble = '';
    return batch;
  };
  const schedule = new ScheduleChanges(context);
  const underWay = new StepUnderWay({ stopping: context.stopping, budgetMs: context.stopStepMs, cancel: () => program.cancel() });
  const steps = trainSteps({
    program,
    spec,
    stepsPerEpoch,
    fromStep: from.step,
    toStep: totalSteps,
    batches: { next },
    rates: runRates(spec, stepsPerEpoch, () => claimed.view.scheduleChanges),
    dropKind: claimed.view.dropKind,
    lossScaling: from.lossScaling,
    signal: parts.interruption.signal,
    during: (step) => underWay.during(step),
    traces,
  });
  // A step that nobody will record is not computed to its end.
  const abandon = (): void => program.cancel();
  claimed.signal.addEventListener('abort', abandon, { once: true });
  try {
    await schedule.takeBefore(from.step);
    for await (const trained of steps) {
      await inSpanOf(trained, () => recorder.add(trained));
      if (checkpoints.isDue(recorder.step)) await checkpoints.save(program, recorder.progress);
      await schedule.takeBefore(recorder.step);
    }
  } catch (thrown) {
    const error = thrown instanceof StepCancelled && underWay.cancelled ? new Interrupted('stopped') : thrown;
    if (error !== thrown)
      context.logger.info({ step: recorder.step }, 'the step under way was cancelled, because it would not have ended in time');
    // Both come between two steps: what there is can be saved whole, and an attempt that waits for data in vain keeps what it did.
    if (!(error instanceof Interrupted || error instanceof DomainError)) throw error;
    if (recorder.step > from.step && !claimed.signal.aborted) await checkpoints.saveLast(program, recorder.progress);
    throw error;
  } finally {
    claimed.signal.removeEventListener('abort', abandon);
    underWay.close();
    await batches.close();
    await schedule.close();
    traces?.close();
  }
}

const inSpanOf = <T>({ span }: TrainedStep, work: () => T): T => (span === undefined ? work() : runWithSpan(span, work));
