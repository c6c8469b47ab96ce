/** Records in the run's log that the run waits, and why, if it waits for longer than a moment; and that it goes on. */
import { hidePlaces } from '#errors/hide-places.js';
import type { StatusRecord } from '#protocol/dropstream/v1/trainer.js';

export interface WaitingStatusOptions {
  /** Appends the record that `make` returns when it is its turn; none if it returns undefined. */
  readonly append: (make: () => StatusRecord | undefined) => Promise<void>;
  /** Milliseconds after which a wait is recorded; default 5000. */
  readonly patienceMs?: number;
  /** Smallest number of milliseconds between two records of waits; default 30 seconds. It bounds the log. */
  readonly everyMs?: number;
}

export class WaitingStatus {
  readonly #append: WaitingStatusOptions['append'];
  readonly #patienceMs: number;
  readonly #everyMs: number;
  #recorded = '';
  #recordedAt = Number.NEGATIVE_INFINITY;
  /** Appends are made one after another. */
  #writing: Promise<void> = Promise.resolve();

  constructor({ append, patienceMs = 5000, everyMs = 30_000 }: WaitingStatusOptions) {
    this.#append = append;
    this.#patienceMs = patienceMs;
    this.#everyMs = everyMs;
  }

  /** Awaits `work`. While it lasts long, the run's status is what `why` returns, which completes "the run …". */
  async during<T>(why: () => string, work: Promise<T>): Promise<T> {
    let waiting = true;
    const record = (): void => {
      this.#record(() => (waiting ? why() : undefined));
      timer = setTimeout(record, this.#everyMs);
    };
    let timer = setTimeout(record, Math.max(this.#patienceMs, this.#recordedAt + this.#everyMs - performance.now()));
    try {
      return await work;
    } finally {
      waiting = false;
      clearTimeout(timer);
      this.#record(() => '');
    }
  }

  /** Resolves when nothing is being written. */
  async close(): Promise<void> {
    await this.#writing;
  }

  #record(say: () => string | undefined): void {
    // A store that does not answer delays the record: by then the run may go on, and nothing is recorded.
    const make = (): StatusRecord | undefined => {
      const message = say();
      if (message === undefined || message === this.#recorded) return undefined;
      this.#recorded = message;
      if (message !== '') this.#recordedAt = performance.now();
      return { message: hidePlaces(message) };
    };
    if (say() === this.#recorded) return;
    // Whatever prevents the record (a lost claim, a store that is away) also ends the attempt where it matters.
    this.#writing = this.#writing.then(() => this.#append(make)).catch(() => {});
  }
}
