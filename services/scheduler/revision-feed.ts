/**
 * Wakes WatchSchedule calls: at once for revisions that this process stored, and after the next poll for those of other replicas. Each
 * watched schedule is polled once, however many calls watch it.
 */
import { ResourceExhausted } from '#errors/errors.js';

interface Watched {
  readonly wakes: Set<(revision: number) => void>;
  readonly poll: NodeJS.Timeout;
  polling: boolean;
}

export interface RevisionFeedOptions {
  /** The newest revision in the store; Infinity if the schedule was deleted, so that every watch looks again. `uid` says which schedule. */
  readonly newest: (uid: string, name: string, signal: AbortSignal) => Promise<number>;
  readonly pollMs: number;
  readonly maxWatches: number;
  /** Called when a poll fails; the next poll tries again. */
  readonly onError: (error: unknown) => void;
}

export class RevisionFeed {
  readonly #options: RevisionFeedOptions;
  /** By uid. */
  readonly #watched = new Map<string, Watched>();
  readonly #closing = new AbortController();
  #watches = 0;

  constructor(options: RevisionFeedOptions) {
    this.#options = options;
  }

  /** Number of open watches. */
  get watches(): number {
    return this.#watches;
  }

  /** Counts a watch until the returned function is called. @throws ResourceExhausted */
  enter(): () => void {
    const { maxWatches } = this.#options;
    if (this.#watches >= maxWatches)
      throw new ResourceExhausted('WatchSchedule', `${maxWatches} watches per replica`, { retryAfterMs: 5000 });
    this.#watches++;
    let left = false;
    return () => {
      if (!left) this.#watches--;
      left = true;
    };
  }

  /** Resolves when a revision greater than `after` is known; rejects with the signal's reason. */
  changed(uid: string, name: string, after: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const watched = this.#watch(uid, name);
      const leave = (): void => {
        signal.removeEventListener('abort', abort);
        watched.wakes.delete(wake);
        if (watched.wakes.size === 0 && this.#watched.get(uid) === watched) {
          clearInterval(watched.poll);
          this.#watched.delete(uid);
        }
      };
      const wake = (revision: number): void => {
        if (revision <= after) return;
        leave();
        resolve();
      };
      const abort = (): void => {
        leave();
        reject(signal.reason);
      };
      watched.wakes.add(wake);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** Must be called for every revision that this process stores. */
  notify(uid: string, revision: number): void {
    for (const wake of [...(this.#watched.get(uid)?.wakes ?? [])]) wake(revision);
  }

  /** Stops polling. Watches end by their own signals. */
  close(): void {
    this.#closing.abort();
    for (const { poll } of this.#watched.values()) clearInterval(poll);
    this.#watched.clear();
  }

  #watch(uid: string, name: string): Watched {
    const known = this.#watched.get(uid);
    if (known) return known;
    const watched: Watched = {
      wakes: new Set(),
      polling: false,
      poll: setInterval(() => void this.#look(uid, name, watched), this.#options.pollMs),
    };
    this.#watched.set(uid, watched);
    return watched;
  }

  async #look(uid: string, name: string, watched: Watched): Promise<void> {
    // With a slow store, polls must not accumulate.
    if (watched.polling) return;
    watched.polling = true;
    try {
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(30_000)]);
      this.notify(uid, await this.#options.newest(uid, name, signal));
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#options.onError(error);
    } finally {
      watched.polling = false;
    }
  }
}
