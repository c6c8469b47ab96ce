/** What makes the steps of an attempt: this worker alone, or with others. */
import type { ComputeStep } from './run-loop.js';

export interface Computation {
  readonly compute: ComputeStep;
  /** Before a checkpoint after that many steps. @throws if the state is not to be trusted */
  check(step: number): Promise<void>;
  /** Ends the step under way, which rejects with StepCancelled unless it has begun to change weights. */
  cancel(): void;
  close(): Promise<void>;
}
