/** Runs that this worker leaves in the queue for other workers: its log says so once for each, and the run's status says what the run waits for. */
import { RecentMap } from '#bounds/recent-map.js';
import { type Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import type { QueueEntry } from '#work/queue-index.js';
import { type EventBodyAt, openRunLog } from '../run/run-log.js';
import type { RunView } from '../run/run-state.js';

/** Largest number of runs that are remembered, so that each is logged once. */
const remembered = 1024;

export interface LeftRunsOptions {
  readonly store: ObjectStore;
  readonly logger: Logger;
}

export class LeftRuns {
  readonly #logged = new RecentMap<string, true>(remembered);

  constructor(private readonly options: LeftRunsOptions) {}

  /** @param message what the run's status becomes, which completes "the run …". @param facts what the worker's log says besides */
  async leave(entry: QueueEntry, run: Run, message: string, facts: object, signal: AbortSignal): Promise<void> {
    const { store, logger } = this.options;
    if (this.#logged.get(run.uid) !== undefined) return;
    this.#logged.set(run.uid, true);
    logger.warn({ run: run.name, ...facts }, `a run is left in the queue: it ${message}`);
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
}
