/**
 * A worker without Gloo does not claim runs that need several workers (workers.min): nobody could join it, so it would either wait for ever or train
 * with fewer than were asked for. It leaves the run in the queue and says there and in its log what is missing.
 */
import { RecentMap } from '#bounds/recent-map.js';
import type { collectivesAvailable } from '#collectives/index.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import type { QueueEntry } from '#work/queue-index.js';
import { type EventBodyAt, openRunLog } from '../../run/run-log.js';
import { workersOf } from '../../run/run-spec.js';
import type { RunView } from '../../run/run-state.js';

/** Largest number of runs that are remembered, so that each is logged once. */
const remembered = 1024;

export interface WorkersHereOptions {
  readonly store: ObjectStore;
  readonly logger: Logger;
  readonly available: typeof collectivesAvailable;
}

export class WorkersHere {
  readonly #logged = new RecentMap<string, true>(remembered);

  constructor(private readonly options: WorkersHereOptions) {}

  /** Tells whether as many workers as the run needs could train it together if this one led. */
  async allow(entry: QueueEntry, { run }: Pick<RunView, 'run'>, signal: AbortSignal): Promise<boolean> {
    const { store, logger, available } = this.options;
    const { min } = workersOf(run.spec ?? {});
    if (min <= 1) return true;
    const found = available();
    if (found.available) return true;
    if (this.#logged.get(run.uid) === undefined) {
      this.#logged.set(run.uid, true);
      logger.warn(
        { run: run.name, workers: min, reason: found.reason },
        'a run that needs several workers waits for one that can exchange gradients',
      );
      const message = `waits for a worker that has Gloo: it needs at least ${min} (workers.min), which exchange gradients with it`;
      const say = (now: RunView | undefined): EventBodyAt | undefined =>
        now?.run.state === RunState.QUEUED && now.run.statusMessage !== message
          ? { body: { $case: 'status', value: { message } } }
          : undefined;
      try {
        const log = openRunLog(store, entry);
        await log.refresh(signal);
        await log.append(say, signal);
      } catch (error) {
        logger.debug({ error, run: run.name }, 'the status of the run cannot be written');
      }
    }
    return false;
  }
}
