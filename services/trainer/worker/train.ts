/** The training of an attempt: every step from where it begins to the end of the run, recorded, with checkpoints on the way. */
import type { Program } from '#engine/index.js';
import { DomainError } from '#errors/errors.js';
import { runRates } from '../run/run-rates.js';
import type { AttemptContext } from './attempt-context.js';
import { Interrupted, type Interruption } from './interruption.js';
import { ProgressRecorder } from './progress-recorder.js';
import type { RunCheckpoints } from './run-checkpoints.js';
import { trainSteps } from './run-loop.js';
import { ScheduleChanges } from './schedule-changes.js';
import type { StepsRecorder } from './steps-recorder.js';
import { openTrainingBatches } from './training-batches.js';
import type { Progress } from './training-state.js';

export interface TrainingParts {
  readonly program: Program;
  readonly steps: StepsRecorder;
  readonly checkpoints: RunCheckpoints;
  readonly interruption: Interruption;
}

/**
 * Trains from `from` to the end of the run. Everything is decided between two steps.
 * @throws Interrupted, or what the data service refuses with, after saving what there is; NonFiniteLoss, TooManyUndecodable
 */
export async function train(context: AttemptContext, parts: TrainingParts, from: Progress): Promise<void> {
  const { spec, stepsPerEpoch, totalSteps, claimed } = context;
  const { program, checkpoints } = parts;
  const recorder = new ProgressRecorder(context, parts.steps, from);
  const batches = openTrainingBatches(context, from.step);
  const schedule = new ScheduleChanges(context);
  const steps = trainSteps({
    program,
    spec,
    stepsPerEpoch,
    fromStep: from.step,
    toStep: totalSteps,
    batches,
    rates: runRates(spec, stepsPerEpoch, () => claimed.view.scheduleChanges),
    dropKind: claimed.view.dropKind,
    signal: parts.interruption.signal,
  });
  // A step that nobody will record is not computed to its end.
  const abandon = (): void => program.cancel();
  claimed.signal.addEventListener('abort', abandon, { once: true });
  try {
    await schedule.takeBefore(from.step);
    for await (const trained of steps) {
      await recorder.add(trained);
      if (checkpoints.isDue(recorder.step)) await checkpoints.save(program, recorder.progress);
      await schedule.takeBefore(recorder.step);
    }
  } catch (error) {
    // Both come between two steps: what there is can be saved whole, and an attempt that waits for data in vain keeps what it did.
    // A checkpoint of this very step needs no second one.
    if (!(error instanceof Interrupted || error instanceof DomainError)) throw error;
    if (recorder.step > from.step && !claimed.signal.aborted) {
      await checkpoints.save(program, recorder.progress);
      await checkpoints.drain();
    }
    throw error;
  } finally {
    claimed.signal.removeEventListener('abort', abandon);
    await batches.close();
    await schedule.close();
  }
}
