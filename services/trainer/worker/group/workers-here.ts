/**
 * A worker without Gloo does not claim runs that need several workers (workers.min): nobody could join it, so it would either wait for ever or train
 * with fewer than were asked for.
 */
import type { collectivesAvailable } from '#collectives/index.js';
import type { QueueEntry } from '#work/queue-index.js';
import { workersOf } from '../../run/run-spec.js';
import type { RunView } from '../../run/run-state.js';
import { LeftRuns, type LeftRunsOptions } from '../left-runs.js';

export interface WorkersHereOptions extends LeftRunsOptions {
  readonly available: typeof collectivesAvailable;
}

export class WorkersHere {
  readonly #left: LeftRuns;

  constructor(private readonly options: WorkersHereOptions) {
    this.#left = new LeftRuns(options);
  }

  /** Tells whether as many workers as the run needs could train it together if this one led. */
  suffices({ run }: Pick<RunView, 'run'>): boolean {
    return workersOf(run.spec ?? {}).min <= 1 || this.options.available().available;
  }

  /** Tells whether this worker may claim the run. If not, the run's status says what it waits for. */
  async allow(entry: QueueEntry, { run }: Pick<RunView, 'run'>, signal: AbortSignal): Promise<boolean> {
    const { min } = workersOf(run.spec ?? {});
    if (min <= 1) return true;
    const found = this.options.available();
    if (found.available) return true;
    const message = `waits for a worker that has Gloo: it needs at least ${min} (workers.min), which exchange gradients with it`;
    await this.#left.leave(entry, run, message, { workers: min, reason: found.reason }, signal);
    return false;
  }
}
