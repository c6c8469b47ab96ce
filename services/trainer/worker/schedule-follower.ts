/** Follows a named schedule beside the training and keeps its newest revision until the run takes it between two steps. */

import { Cancelled, NotFound } from '#errors/errors.js';
import type { DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { wait } from '#rpc/retry.js';
import type { Logger } from '#telemetry/logger.js';
import type { SchedulerClient } from '../peers.js';

export interface Revision {
  readonly revision: number;
  readonly spec: DropScheduleSpec;
}

export class ScheduleFollower {
  #newest: Revision | undefined;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;

  constructor(
    private readonly client: SchedulerClient,
    private readonly schedule: string,
    afterRevision: number,
    private readonly logger: Logger,
  ) {
    this.#running = this.#follow(afterRevision);
  }

  /** The newest revision since the last call; undefined: none. */
  take(): Revision | undefined {
    const newest = this.#newest;
    this.#newest = undefined;
    return newest;
  }

  async close(): Promise<void> {
    this.#ending.abort(new Cancelled('following the schedule'));
    await this.#running;
  }

  async #follow(after: number): Promise<void> {
    const { signal } = this.#ending;
    let cursor = after;
    while (!signal.aborted) {
      try {
        const request = { name: this.schedule, afterRevision: BigInt(cursor) };
        for await (const { schedule } of this.client.watchSchedule(request, { signal })) {
          if (schedule === undefined) continue;
          cursor = Number(schedule.revision);
          // A deleted schedule leaves the run with what it has.
          if (!schedule.deleted && schedule.spec) this.#newest = { revision: cursor, spec: schedule.spec };
        }
      } catch (error) {
        if (signal.aborted) return;
        this.logger.warn({ error: String(error), schedule: this.schedule }, 'the schedule cannot be followed at the moment');
        if (error instanceof NotFound) return;
      }
      await wait(2000, signal).catch(() => {});
    }
  }
}
