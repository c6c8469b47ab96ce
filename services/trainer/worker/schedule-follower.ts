/** Watches a named schedule in the background and keeps its newest revision until the run uses it between two steps. */

import { Cancelled, NotFound } from '#errors/errors.js';
import type { DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { wait } from '#rpc/retry.js';
import type { Logger } from '#telemetry/logger.js';
import type { SchedulerClient } from '../peers.js';

export interface Revision {
  readonly revision: number;
  readonly spec: DropScheduleSpec;
}

const getTimeoutMs = 10_000;
const retryMs = 2000;

export class ScheduleFollower {
  #newest: Revision | undefined;
  #gone = false;
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

  /** The newest revision since the last call; undefined if there is none. */
  take(): Revision | undefined {
    const newest = this.#newest;
    this.#newest = undefined;
    return newest;
  }

  /** True when the schedule was deleted. Another schedule of the same name is not followed. */
  get gone(): boolean {
    return this.#gone;
  }

  async close(): Promise<void> {
    this.#ending.abort(new Cancelled('following the schedule'));
    await this.#running;
  }

  async #follow(after: number): Promise<void> {
    const { signal } = this.#ending;
    let cursor = after;
    let uid: string | undefined;
    while (!signal.aborted) {
      try {
        uid ??= await this.#uidOf(after, signal);
        const request = { name: this.schedule, afterRevision: BigInt(cursor), uid };
        for await (const { schedule } of this.client.watchSchedule(request, { signal })) {
          if (schedule === undefined) continue;
          cursor = Number(schedule.revision);
          // If the schedule was deleted, the run keeps its revision.
          if (schedule.deleted) this.#gone = true;
          else if (schedule.spec) this.#newest = { revision: cursor, spec: schedule.spec };
        }
      } catch (error) {
        if (signal.aborted) return;
        this.logger.warn({ error: String(error), schedule: this.schedule }, 'the schedule cannot be followed at the moment');
        if (error instanceof NotFound) this.#gone = true;
      }
      if (this.#gone) return;
      await wait(retryMs, signal).catch(() => {});
    }
  }

  /** A revision's number belongs to one schedule only: schedules of one name continue the numbers. */
  async #uidOf(revision: number, signal: AbortSignal): Promise<string> {
    const request = { name: this.schedule, revision: BigInt(revision) };
    const { schedule } = await this.client.getSchedule(request, { timeoutMs: getTimeoutMs, signal });
    return schedule?.uid ?? '';
  }
}
