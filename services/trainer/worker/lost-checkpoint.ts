/** Whether a checkpoint is missing that a leader began to write, or was about to write, when it was lost. */
import type { ResolvedSpec } from '../run/run-spec.js';
import type { RunView } from '../run/run-state.js';

/**
 * True if a checkpoint was due at `step` or before it, and none that is as new is in the log. Whoever has taken over from memory then saves one of its own
 * step at once: the state of the step for which it was due is gone. Checkpoints by time count as due, because nobody knows when the last one was begun.
 */
export function lacksCheckpoint(
  { saveCkpt, saveCkptFreq, saveCkptSeconds }: Pick<ResolvedSpec, 'saveCkpt' | 'saveCkptFreq' | 'saveCkptSeconds'>,
  { run, checkpoints }: Pick<RunView, 'run' | 'checkpoints'>,
  step: number,
): boolean {
  const newest = checkpoints.find(({ damaged }) => !damaged)?.step ?? 0;
  if (!saveCkpt || step <= newest) return false;
  const every = saveCkptFreq * Number(run.stepsPerEpoch);
  return saveCkptSeconds > 0 || step === Number(run.totalSteps) || Math.floor(step / every) * every > newest;
}
