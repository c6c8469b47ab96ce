/**
 * Wakes the streams that watch something in the store: at once for changes that this process made, and after the next poll for those of other
 * processes. Whatever is watched is polled once, however many streams watch it. A stream that is slow only misses being woken: it asks again with its
 * own cursor, and nothing is kept for it.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { ResourceExhausted, Unavailable } from '#errors/errors.js';
import { StoreUnavailable } from '#storage/object-store.js';

/** A change: the newest number of what is watched (a sequence, a revision), and what a watcher needs to know about it. */
export interface Change<V> {
  /** Grows with every change. */
  readonly number: number;
  readonly value: V;
}

interface Waiter<V> {
  readonly after: number;
  readonly wake: (change: Change<V>) => void;
  readonly fail: (error: unknown) => void;
}

interface Watched<V> {
  readonly waiters: Set<Waiter<V>>;
  readonly poll: NodeJS.Timeout;
  polling: boolean;
  failingSinceMs: number | undefined;
}

export interface ChangeFeedOptions<V> {
  /** What is watched, in messages: the name of the method. */
  readonly what: string;
  /** Looks at what a key names. Its errors reach the watchers, except for those of a store that does not answer for a while. */
  readonly look: (key: string, signal: AbortSignal) => Promise<Change<V>>;
  readonly pollMs: number;
  readonly maxWatches: number;
  /** Called when the store does not answer a poll; the next poll tries again. */
  readonly onError: (error: unknown) => void;
  /** How long one poll may take, and how long the store may stay away before the watchers get its error, in ms; default 30 seconds. */
  readonly patienceMs?: number;
}

const defaultPatienceMs = 30_000;
/** Number of watchers that are woken in one turn of the event loop; calls of others are answered in between. */
const wokenAtOnce = 32;

export class ChangeFeed<V> {
  readonly #options: ChangeFeedOptions<V>;
  readonly #watched = new Map<string, Watched<V>>();
  readonly #closing = new AbortController();
  readonly #patienceMs: number;
  #watches = 0;

  constructor(options: ChangeFeedOptions<V>) {
    this.#options = options;
    this.#patienceMs = options.patienceMs ?? defaultPatienceMs;
  }

  /** Number of open watches. */
  get watches(): number {
    return this.#watches;
  }

  /** Counts a watch until the returned function is called. @throws ResourceExhausted */
  enter(): () => void {
    const { what, maxWatches } = this.#options;
    if (this.#watches >= maxWatches) throw new ResourceExhausted(what, `${maxWatches} watches per replica`, { retryAfterMs: 5000 });
    this.#watches++;
    let left = false;
    return () => {
      if (!left) this.#watches--;
      left = true;
    };
  }

  /**
   * Resolves when a change with a number greater than `after` is known.
   * @throws the signal's reason, errors of `look`, and Unavailable if the store stays away or the feed closes
   */
  changed(key: string, after: number, signal: AbortSignal): Promise<Change<V>> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      if (this.#closing.signal.aborted) return reject(this.#closed());
      const watched = this.#watch(key);
      const leave = (): void => {
        signal.removeEventListener('abort', abort);
        watched.waiters.delete(waiter);
        if (watched.waiters.size === 0) this.#unwatch(key, watched);
      };
      const abort = (): void => waiter.fail(signal.reason);
      const waiter: Waiter<V> = {
        after,
        wake: (change) => {
          leave();
          resolve(change);
        },
        fail: (error) => {
          leave();
          reject(error);
        },
      };
      watched.waiters.add(waiter);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** Must be called for every change that this process makes. */
  notify(key: string, change: Change<V>): void {
    const waiters = [...(this.#watched.get(key)?.waiters ?? [])].filter(({ after }) => change.number > after);
    void inTurns(waiters, ({ wake }) => wake(change));
  }

  /** Stops polling. Watches that are still open end with Unavailable, so that none waits for what nobody looks for. */
  close(): void {
    this.#closing.abort();
    for (const { poll, waiters } of [...this.#watched.values()]) {
      clearInterval(poll);
      for (const { fail } of [...waiters]) fail(this.#closed());
    }
  }

  #closed(): Unavailable {
    return new Unavailable(`${this.#options.what} of a service that is closing`);
  }

  #watch(key: string): Watched<V> {
    const known = this.#watched.get(key);
    if (known) return known;
    const watched: Watched<V> = {
      waiters: new Set(),
      polling: false,
      failingSinceMs: undefined,
      poll: setInterval(() => void this.#look(key, watched), this.#options.pollMs),
    };
    this.#watched.set(key, watched);
    return watched;
  }

  /** Stops polling what nobody waits for. */
  #unwatch(key: string, watched: Watched<V>): void {
    if (this.#watched.get(key) !== watched) return;
    clearInterval(watched.poll);
    this.#watched.delete(key);
  }

  async #look(key: string, watched: Watched<V>): Promise<void> {
    // With a slow store, polls must not accumulate.
    if (watched.polling) return;
    watched.polling = true;
    const begunMs = performance.now();
    try {
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(this.#patienceMs)]);
      this.notify(key, await this.#options.look(key, signal));
      watched.failingSinceMs = undefined;
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#failed(watched, error, begunMs);
    } finally {
      watched.polling = false;
    }
  }

  #failed(watched: Watched<V>, thrown: unknown, begunMs: number): void {
    const late = thrown instanceof Error && thrown.name === 'TimeoutError';
    const error = late ? new Unavailable('the object store', 1000, { cause: thrown }) : thrown;
    watched.failingSinceMs ??= begunMs;
    if (isPassing(error) && performance.now() - watched.failingSinceMs < this.#patienceMs) this.#options.onError(error);
    else {
      watched.failingSinceMs = undefined;
      void inTurns([...watched.waiters], ({ fail }) => fail(error));
    }
  }
}

const isPassing = (error: unknown): boolean => error instanceof Unavailable || (error instanceof StoreUnavailable && error.retryable);

/** Calls `work` for each item, a few in each turn of the event loop. */
async function inTurns<T>(items: readonly T[], work: (item: T) => void): Promise<void> {
  for (let from = 0; from < items.length; from += wokenAtOnce) {
    if (from > 0) await turn();
    for (const item of items.slice(from, from + wokenAtOnce)) work(item);
  }
}
