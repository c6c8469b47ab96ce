/** What the runs of the storm train: all of them the same weights on the same batches, as far as the drop rate is the same. */
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { demandingSpec, type Workspace } from '../support/training.js';

export const PARENT = 'projects/chaos';
export const SCHEDULE = `${PARENT}/schedules/live`;

/** A few seconds of training with everything that a resume could get wrong. */
export const plainSpec = (workspace: Workspace): RunSpec => demandingSpec(workspace, { epochs: 5, cutoffEpoch: 3 });

/** The same training, and after each epoch an evaluation of the weights and of their moving average. */
export const evaluatedSpec = (workspace: Workspace): RunSpec =>
  RunSpec.fromPartial({ ...plainSpec(workspace), evalManifest: workspace.test, disableEval: false, modelEmaEval: true });

/** The same training with few checkpoints, so that a kill costs steps, which the next attempt repeats. */
export const sparseSpec = (workspace: Workspace): RunSpec =>
  RunSpec.fromPartial({ ...plainSpec(workspace), saveCkptSeconds: 0, saveCkptFreq: 2 });

/** The schedule says what is dropped, and when. */
export function followingSpec(workspace: Workspace): RunSpec {
  const { dropPath: _path, dropMode: _mode, dropSchedule: _schedule, cutoffEpoch: _cutoff, ...rest } = sparseSpec(workspace);
  return RunSpec.fromPartial({ ...rest, schedule: SCHEDULE, followSchedule: true });
}
