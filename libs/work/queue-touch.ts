/** Writes the entry of claimed work again as often as a heartbeat, so that a listing of the queue shows that its owner is alive (owner-watch.ts). */
import { setTimeout as delay } from 'node:timers/promises';
import type { QueueEntry } from './queue-entry.js';
import type { QueueIndex } from './queue-index.js';

/** How long one write may take, in ms, or the interval, whichever is longer. */
const shortestDeadlineMs = 1000;

export interface QueueTouchOptions {
  readonly queue: QueueIndex;
  readonly entry: QueueEntry;
  /** Of the claim. */
  readonly fence: number;
  readonly intervalMs: number;
  /** Called after every write, for what else must be there as long as the owner is alive. */
  readonly also?: () => void;
  readonly onError: (error: unknown) => void;
}

export class QueueTouch {
  readonly #options: QueueTouchOptions;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;

  private constructor(options: QueueTouchOptions) {
    this.#options = options;
    this.#running = this.#touchOn();
  }

  /** Whoever starts it stops it. */
  static start(options: QueueTouchOptions): QueueTouch {
    return new QueueTouch(options);
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  async #touchOn(): Promise<void> {
    const { queue, entry, fence, intervalMs, also, onError } = this.#options;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const deadline = AbortSignal.timeout(Math.ceil(Math.max(intervalMs, shortestDeadlineMs)));
      await queue.touch(entry, fence, AbortSignal.any([signal, deadline])).catch((error) => {
        if (!signal.aborted) onError(error);
      });
      if (!signal.aborted) also?.();
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  }
}
