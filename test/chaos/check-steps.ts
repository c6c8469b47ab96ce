/** What must be true of the steps of a run: of those of every attempt, and not only of those that are left in the end. */
import type { EpochRecord, ResumedRecord, RunEvent, StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import type { Calm } from './check-run.js';

export interface CheckedSteps {
  readonly wrong: string[];
  /** Number of steps that an earlier attempt had done and that were lost with it. */
  readonly repeated: number;
}

/** More of the same tells nothing new. */
const MOST_COMPLAINTS = 6;

/**
 * Every attempt begins at step 0 or with the newest checkpoint of the log and does one step after the other; every step has the batches of the undisturbed run and,
 * if `sameLosses`, its loss and gradient norm to the bit, however often it is done; every epoch has the means of its steps; no step is missing.
 */
export function checkSteps(events: readonly RunEvent[], calm: Calm, { sameLosses }: { readonly sameLosses: boolean }): CheckedSteps {
  const wrong: string[] = [];
  /** The steps of the checkpoints that no attempt has found damaged, oldest first. */
  const usable = new Map<string, number>();
  /** Those of them that no attempt may have deleted. */
  let kept: readonly string[] = [];
  let keep = Number.POSITIVE_INFINITY;
  const left = new Map<number, StepMetrics>();
  const done = new Set<number>();
  const epochs = new Set<number>();
  let next = 0;
  let repeated = 0;
  for (const { event } of events) {
    if (wrong.length >= MOST_COMPLAINTS) break;
    if (event?.$case === 'created') keep = event.value.run?.spec?.saveCkptNum || keep;
    if (event?.$case === 'checkpoint') {
      usable.set(event.value.checkpoint, Number(event.value.step));
      kept = [...usable.keys()].reverse().slice(0, keep);
    }
    if (event?.$case === 'checkpointSkipped') usable.delete(event.value.checkpoint);
    if (event?.$case === 'resumed') {
      next = Number(event.value.fromStep);
      wrong.push(...otherBeginning(event.value, usable, kept));
      // Those that are newer could not be loaded: they were deleted when there were newer ones yet.
      const names = [...usable.keys()];
      for (const newer of names.slice(names.indexOf(event.value.checkpoint) + 1))
        if (usable.has(event.value.checkpoint)) usable.delete(newer);
      for (const step of [...left.keys()]) if (step >= next) left.delete(step);
    }
    if (event?.$case === 'epoch') {
      epochs.add(event.value.epoch);
      wrong.push(...otherMeans(event.value, left));
    }
    if (event?.$case !== 'steps') continue;
    for (const metrics of event.value.steps) {
      const step = Number(metrics.step);
      if (step !== next) wrong.push(`step ${step} comes where step ${next} was due`);
      next = step + 1;
      if (done.has(step)) repeated++;
      done.add(step);
      left.set(step, metrics);
      wrong.push(...otherStep(metrics, calm.steps.get(step), sameLosses));
    }
  }
  for (const step of calm.steps.keys()) if (!left.has(step)) wrong.push(`step ${step} is missing`);
  for (const { epoch } of calm.steps.values()) if (!epochs.has(epoch)) wrong.push(`epoch ${epoch} has no means`);
  return { wrong: [...new Set(wrong)].slice(0, MOST_COMPLAINTS), repeated };
}

/** An attempt begins with the newest checkpoint that it did not have to skip, and that was not deleted because there were newer ones. */
function otherBeginning({ checkpoint, fromStep }: ResumedRecord, usable: ReadonlyMap<string, number>, kept: readonly string[]): string[] {
  const step = Number(fromStep);
  const newest = Math.max(0, ...kept.map((name) => usable.get(name) ?? 0));
  const goesBack = newest === 0 && usable.has(checkpoint);
  if (step !== newest && !goesBack) return [`an attempt begins at step ${step} although the newest checkpoint is of step ${newest}`];
  if ((usable.get(checkpoint) ?? 0) !== step) return [`an attempt begins with ${checkpoint}, which is not of step ${step}`];
  return [];
}

function otherStep(actual: StepMetrics, expected: StepMetrics | undefined, sameLosses: boolean): string[] {
  const { step, loss, gradNorm } = actual;
  if (expected === undefined) return [`step ${step} is one too many`];
  if (hashes(actual) !== hashes(expected)) return [`step ${step} was trained on other batches`];
  if (!sameLosses || (Object.is(loss, expected.loss) && Object.is(gradNorm, expected.gradNorm))) return [];
  return [`step ${step} has the loss ${loss} and gradient norm ${gradNorm} instead of ${expected.loss} and ${expected.gradNorm}`];
}

/** Attempts that share an epoch hand the sums over in a checkpoint. They add in the order of the steps, so that the means are exact. */
function otherMeans({ epoch, trainLoss, trainGradNorm }: EpochRecord, left: ReadonlyMap<number, StepMetrics>): string[] {
  const steps = [...left.values()].filter((step) => step.epoch === epoch).sort((a, b) => Number(a.step - b.step));
  const mean = (of: (step: StepMetrics) => number): number => steps.reduce((sum, step) => sum + of(step), 0) / steps.length;
  const [loss, gradNorm] = [mean((step) => step.loss), mean((step) => step.gradNorm)];
  if (Object.is(trainLoss, loss) && Object.is(trainGradNorm, gradNorm)) return [];
  return [
    `epoch ${epoch} has the mean loss ${trainLoss} and gradient norm ${trainGradNorm}, but those of its steps are ${loss} and ${gradNorm}`,
  ];
}

const hashes = ({ batchSha256 }: StepMetrics): string => batchSha256.map((hash) => Buffer.from(hash).toString('hex')).join();
