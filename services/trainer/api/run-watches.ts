/** The open calls of WatchRun. All that watch one run share one reader of its log (see WatchedLog). */

import { quietly } from '#bounds/quietly.js';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { ChangeFeed } from '#rpc/change-feed.js';
import type { RecordLog } from '#storage/record-log.js';
import { WatchedLog } from './watched-log.js';

const defaultMaxWatches = 10_000;
/** Number of events that one watch reads at the same time. */
const readAhead = 8;

export interface RunWatchesOptions {
  readonly pollMs: number;
  /** Largest number of open watches; default 10,000. */
  readonly maxWatches?: number;
  /** Called when the store does not answer a poll. */
  readonly onError: (error: unknown) => void;
}

/** What is known about a run when a watch of it begins. */
export interface WatchedRun {
  /** Names the run, and no other run that had its name before. */
  readonly key: string;
  readonly log: RecordLog;
  readonly newest: number;
  readonly ended: boolean;
  /** Called at every poll; its error ends the watches. */
  readonly check?: (signal: AbortSignal) => Promise<void>;
}

export class RunWatches {
  readonly #feed: ChangeFeed<void>;
  readonly #logs = new Map<string, { readonly log: WatchedLog; readonly check: WatchedRun['check']; watches: number }>();

  constructor({ pollMs, maxWatches = defaultMaxWatches, onError }: RunWatchesOptions) {
    this.#feed = new ChangeFeed<void>({
      what: 'WatchRun',
      look: async (key, signal) => {
        const watched = this.#logs.get(key);
        await watched?.check?.(signal);
        return { number: (await watched?.log.look(signal)) ?? 0, value: undefined };
      },
      pollMs,
      maxWatches,
      onError,
    });
  }

  /** Number of open watches. */
  get watches(): number {
    return this.#feed.watches;
  }

  /**
   * Yields the events after a sequence, and then new ones as they are written; ends after the event that ends the run.
   * @throws ResourceExhausted; LogDamaged; errors of the store
   */
  async *events({ key, log, newest, ended, check }: WatchedRun, after: number, signal: AbortSignal): AsyncGenerator<RunEvent, void, void> {
    const leave = this.#feed.enter();
    const entry = this.#logs.get(key) ?? { log: new WatchedLog(log, newest, ended), check, watches: 0 };
    this.#logs.set(key, entry);
    entry.watches++;
    try {
      const shared = entry.log;
      shared.learn(newest, ended);
      let cursor = after;
      for (;;) {
        while (cursor < shared.newest) {
          const wanted = Math.min(readAhead, shared.newest - cursor);
          const events = Array.from({ length: wanted }, (_, k) => quietly(shared.event(cursor + 1 + k, signal)));
          for (const event of events) {
            yield await event;
            cursor++;
          }
        }
        if (shared.ended) return;
        await this.#feed.changed(key, cursor, signal);
      }
    } finally {
      leave();
      if (--entry.watches === 0) this.#logs.delete(key);
    }
  }

  close(): void {
    this.#feed.close();
  }
}
