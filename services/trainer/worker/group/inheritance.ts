/** What a member of a group has in memory when it becomes the leader. */
import type { Program } from '#engine/index.js';
import type { TrainedStep } from '../run-loop.js';
import type { Progress } from '../training-state.js';

export interface Inheritance {
  readonly program: Program;
  /** Optimizer steps that the program has done. */
  readonly step: number;
  /** What is in the run's log for sure. */
  readonly progress: Progress;
  /** The steps from there to `step`, which the log may lack. */
  readonly steps: readonly TrainedStep[];
  /** Number of workers of the group that may still be there, this one included. */
  readonly expected: number;
}
