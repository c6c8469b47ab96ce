/** Trains a run in one attempt: runs the steps to the end, records them and saves checkpoints. */
import { collectivesAvailable } from '#collectives/index.js';
import type { BatchFailure } from '#data/client/batch-client.js';
import { type Program, StepCancelled } from '#engine/index.js';
import { DomainError } from '#errors/errors.js';
import { isTracing } from '#telemetry/spans.js';
import { runWithSpan } from '#telemetry/tracing.js';
import { runRates } from '../run/run-rates.js';
import { workersOf } from '../run/run-spec.js';
import { aloneSteps } from './alone-steps.js';
import type { AttemptContext } from './attempt-context.js';
import { CutoffMeasurements } from './cutoff-measurements.js';
import { type GroupAccess, groupSteps } from './group/group-steps.js';
import { Interrupted, type Interruption } from './interruption.js';
import { lacksCheckpoint } from './lost-checkpoint.js';
import { ProgressRecorder } from './progress-recorder.js';
import type { RunCheckpoints } from './run-checkpoints.js';
import { type TrainedStep, trainSteps } from './run-loop.js';
import { ScheduleChanges } from './schedule-changes.js';
import { StepTraces } from './step-traces.js';
import { StepUnderWay } from './step-under-way.js';
import type { StepsRecorder } from './steps-recorder.js';
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
  const whyNoData = (): string => `waits for data${trouble}`;
  const schedule = new ScheduleChanges(context);
  const cutoff = new CutoffMeasurements(context, { checkpoints, waiting, signal: parts.interruption.signal });
  const underWay = new StepUnderWay({ stopping: context.stopping, budgetMs: context.stopStepMs, cancel: () => computation.cancel() });
  const during = async <T>(step: () => Promise<T>): Promise<T> => {
    const made = await underWay.during(step);
    trouble = '';
    return made;
  };
  // What the former leader had no time to record.
  for (const trained of context.inheritance?.steps ?? []) await recorder.add(trained);
  const begun = recorder.step;
  const shared = { program, fromStep: begun, waiting, onFailure, whyNoData, during };
  const computation = mayBeGroup(context)
    ? groupSteps(context, {
        ...{ ...shared, access: context.group, expected: context.inheritance?.expected ?? 1, signal: parts.interruption.signal },
        progress: () => recorder.progress,
        flush: () => parts.steps.flush(),
      })
    : aloneSteps(context, { ...shared, lossScaling: recorder.progress.lossScaling, traces });
  const steps = trainSteps({
    program,
    stepsPerEpoch,
    fromStep: begun,
    toStep: totalSteps,
    compute: computation.compute,
    rates: runRates(spec, stepsPerEpoch, () => claimed.view.scheduleChanges),
    signal: parts.interruption.signal,
    traces,
  });
  // A step that nobody will record is not computed to its end.
  const abandon = (): void => computation.cancel();
  claimed.signal.addEventListener('abort', abandon, { once: true });
  try {
    const save = async (): Promise<void> => {
      await computation.check(recorder.step);
      await checkpoints.save(program, recorder.progress);
    };
    const saveIfDue = async (): Promise<void> => {
      if (checkpoints.isDue(recorder.step)) await save();
    };
    if (context.inheritance !== undefined && lacksCheckpoint(spec, claimed.view, begun)) await save();
    const takeChanges = async (): Promise<void> => {
      await schedule.takeBefore(recorder.step);
      await cutoff.takeBefore(recorder.step);
    };
    await takeChanges();
    for await (const trained of steps) {
      await inSpanOf(trained, () => recorder.add(trained));
      await saveIfDue();
      await takeChanges();
    }
  } catch (thrown) {
    const error = thrown instanceof StepCancelled && underWay.cancelled ? new Interrupted('stopped') : thrown;
    if (error !== thrown)
      context.logger.info({ step: recorder.step }, 'the step under way was cancelled, because it would not have ended in time');
    // Both come between two steps: what there is can be saved whole, and an attempt that waits for data in vain keeps what it did.
    if (!(error instanceof Interrupted || error instanceof DomainError)) throw error;
    // What was taken over from memory is in no checkpoint yet.
    const hasNews = recorder.step > from.step || context.inheritance !== undefined;
    if (hasNews && !claimed.signal.aborted) await checkpoints.saveLast(program, recorder.progress);
    throw error;
  } finally {
    claimed.signal.removeEventListener('abort', abandon);
    underWay.close();
    await computation.close();
    await schedule.close();
    await cutoff.close();
    traces?.close();
  }
}

/** Whether other workers may help with the run, and this one can work with them. */
function mayBeGroup(context: AttemptContext): context is AttemptContext & { readonly group: GroupAccess } {
  const { spec, group, logger } = context;
  const { max } = workersOf(spec);
  if (max <= 1 || group === undefined) return false;
  const found = collectivesAvailable();
  if (!found.available)
    logger.warn(
      { reason: found.reason, workers: max },
      'no other worker can help with the run, because this one cannot exchange gradients',
    );
  return found.available;
}

const inSpanOf = <T>({ span }: TrainedStep, work: () => T): T => (span === undefined ? work() : runWithSpan(span, work));
