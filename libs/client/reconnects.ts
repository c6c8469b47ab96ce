/** How long a watcher without a connection, or without an answer in time, goes on trying. */
import { setTimeout as delay } from 'node:timers/promises';
import { Cancelled, DeadlineExceeded, Unavailable } from '#errors/errors.js';

export interface Patience {
  readonly signal: AbortSignal;
  /** Seconds without a connection or an answer after which it gives up; default 60. */
  readonly patienceSeconds?: number;
  readonly onReconnect?: (error: Unavailable | DeadlineExceeded) => void;
}

const PAUSE_MS = 500;

export class Reconnects {
  #lostAt: number | undefined;

  constructor(private readonly options: Patience) {}

  connected(): void {
    this.#lostAt = undefined;
  }

  /** @throws the error, if another connection does not help or the patience is over */
  bear(error: unknown): void {
    if (!(error instanceof Unavailable || error instanceof DeadlineExceeded)) throw error;
    this.#lostAt ??= performance.now();
    if (performance.now() - this.#lostAt > (this.options.patienceSeconds ?? 60) * 1000) throw error;
    this.options.onReconnect?.(error);
  }

  /** Waits before the next connection. @throws Cancelled */
  async pause(): Promise<void> {
    await delay(PAUSE_MS, undefined, { signal: this.options.signal }).catch((cause) => {
      throw new Cancelled('watching', { cause });
    });
  }
}
