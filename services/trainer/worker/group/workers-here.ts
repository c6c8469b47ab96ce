/**
 * A worker without Gloo does not claim runs that need several workers (workers.min): nobody could join it, so it would either wait for ever or train
 * with fewer than were asked for. It leaves the run in the queue and logs what is missing.
 */
import { RecentMap } from '#bounds/recent-map.js';
import type { collectivesAvailable } from '#collectives/index.js';
import type { Logger } from '#telemetry/logger.js';
import { workersOf } from '../../run/run-spec.js';
import type { RunView } from '../../run/run-state.js';

/** Largest number of runs that are remembered, so that each is logged once. */
const remembered = 1024;

export class WorkersHere {
  readonly #logged = new RecentMap<string, true>(remembered);

  constructor(
    private readonly logger: Logger,
    private readonly available: typeof collectivesAvailable,
  ) {}

  /** Tells whether as many workers as the run needs could train it together if this one led. */
  allow({ run }: Pick<RunView, 'run'>): boolean {
    const { min } = workersOf(run.spec ?? {});
    if (min <= 1) return true;
    const found = this.available();
    if (found.available) return true;
    if (this.#logged.get(run.uid) === undefined) {
      this.#logged.set(run.uid, true);
      this.logger.warn(
        { run: run.name, workers: min, reason: found.reason },
        'a run that needs several workers waits for one that can exchange gradients',
      );
    }
    return false;
  }
}
