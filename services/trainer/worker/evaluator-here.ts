/**
 * A worker without an evaluator neither claims nor joins a run whose adaptive cutoff still has something to measure: as its leader, it would hold the run
 * and wait for the measurement for ever.
 */
import type { QueueEntry } from '#work/queue-index.js';
import type { EvaluatorClient } from '../peers.js';
import { type CutoffRun, nextMeasurement } from '../run/adaptive-cutoff.js';
import type { RunView } from '../run/run-state.js';
import { LeftRuns, type LeftRunsOptions } from './left-runs.js';

const waits = 'waits for a worker that was started with --evaluator, which measures the gradients for its adaptive cutoff';

export interface EvaluatorHereOptions extends LeftRunsOptions {
  /** Undefined: this worker was started without. */
  readonly evaluator: EvaluatorClient | undefined;
}

export class EvaluatorHere {
  readonly #left: LeftRuns;

  constructor(private readonly options: EvaluatorHereOptions) {
    this.#left = new LeftRuns(options);
  }

  /** Tells whether this worker has what the run still needs of an evaluator. */
  suffices(view: CutoffRun): boolean {
    return this.options.evaluator !== undefined || nextMeasurement(view) === undefined;
  }

  /** Tells whether this worker may claim the run. If not, the run's status says what it waits for. */
  async allow(entry: QueueEntry, view: Pick<RunView, 'run' | 'cutoff'>, signal: AbortSignal): Promise<boolean> {
    if (this.suffices(view)) return true;
    await this.#left.leave(entry, view.run, waits, {}, signal);
    return false;
  }
}
