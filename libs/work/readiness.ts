/** Whether work may be claimed now: it waits and its back-off is over, or its owner is gone. */
import { StaleWatch } from '#storage/lease.js';
import type { ObjectStore } from '#storage/object-store.js';
import { type BackOffPolicy, backOffMs } from './back-off.js';
import type { Standing } from './claimed-log.js';
import { keyOfEntry, type QueueEntry } from './queue-entry.js';
import type { Place } from './queue-hints.js';

/** What the newest record of an entry's log says. */
export interface Found extends Standing {
  readonly sequence: number;
  /** True if its owner is known to have ended, so that no heartbeat has to be watched. */
  readonly ownerEnded?: boolean;
  /** Absent: work without a priority. */
  readonly place?: Place;
}

interface Watched {
  readonly stale: StaleWatch;
  sequence: number;
  /** Time at which this process first saw that sequence number, by its own clock. */
  sinceMs: number;
}

export interface ReadinessOptions {
  readonly store: ObjectStore;
  readonly ttlMs: number;
  readonly backOff: BackOffPolicy;
  readonly heartbeatPrefix: (entry: QueueEntry) => string;
}

export class Readiness {
  readonly #options: ReadinessOptions;
  readonly #watched = new Map<string, Watched>();

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** Forgets all but these. */
  keep(present: ReadonlySet<string>): void {
    for (const key of this.#watched.keys()) if (!present.has(key)) this.#watched.delete(key);
  }

  forget(entry: QueueEntry): void {
    this.#watched.delete(keyOfEntry(entry));
  }

  /**
   * `now` if the work is waiting and its back-off is over, or if its owner is gone; `never` while its owner is alive. In between, it is `later`: each
   * process counts the back-off, and the time for which it sees no heartbeat, for itself.
   * @param silent true if the time without a sign of life was counted already
   */
  async of(entry: QueueEntry, found: Found, silent: boolean, signal: AbortSignal): Promise<'now' | 'later' | 'never'> {
    const { ttlMs, backOff, store, heartbeatPrefix } = this.#options;
    const now = performance.now();
    const key = keyOfEntry(entry);
    const watched = this.#watched.get(key) ?? { stale: new StaleWatch(ttlMs), sequence: -1, sinceMs: now };
    this.#watched.set(key, watched);
    if (watched.sequence !== found.sequence) {
      watched.sequence = found.sequence;
      watched.sinceMs = now;
    }
    // Whoever says that an owner has ended has started this process after a pause of its own.
    const attempts = found.ownerEnded ? found.fruitlessAttempts - 1 : found.fruitlessAttempts;
    const rested = now - watched.sinceMs >= backOffMs(backOff, attempts);
    if (found.state === 'waiting' || found.ownerEnded || silent) return rested ? 'now' : 'later';
    // The heartbeat is read even during the back-off, so that the time for which it stays unchanged is counted.
    const standing = await watched.stale.look(store, heartbeatPrefix(entry), found.fence, { signal });
    if (standing === 'stale') return rested ? 'now' : 'later';
    return watched.stale.seenAlive ? 'never' : 'later';
  }
}
