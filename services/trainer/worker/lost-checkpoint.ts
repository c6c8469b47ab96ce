/** Whether a checkpoint is missing that a leader began to write, or was about to write, when it was lost. */
import { isUnmeasured } from '../run/adaptive-cutoff.js';
import type { ResolvedSpec } from '../run/run-spec.js';
import type { RunView } from '../run/run-state.js';

/**
 * True if a checkpoint was due at `step` or before it, and none that is as new is in the log. Whoever has taken over from memory then saves one of its own
 * step at once: the state of the step for which it was due is gone. Checkpoints by time count as due, because nobody knows when the last one was begun.
 */
export function lacksCheckpoint(
  { saveCkpt, saveCkptFreq, saveCkptSeconds }: Pick<ResolvedSpec, 'saveCkpt' | 'saveCkptFreq' | 'saveCkptSeconds'>,
  view: Pick<RunView, 'run' | 'checkpoints' | 'cutoff'>,
  step: number,
): boolean {
  const { run, checkpoints } = view;
  const newest = checkpoints.find(({ damaged }) => !damaged)?.step ?? 0;
  if (!saveCkpt || step <= newest) return false;
  // Of this step only: a run goes on only when the checkpoint to be measured is in the log.
  if (isUnmeasured(view, step)) return true;
  const every = saveCkptFreq * Number(run.stepsPerEpoch);
  return saveCkptSeconds > 0 || step === Number(run.totalSteps) || Math.floor(step / every) * every > newest;
}
