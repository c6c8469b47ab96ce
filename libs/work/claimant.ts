/**
 * Takes work off the queue: looks at every entry, claims work that is waiting or whose owner is gone, and works on at most `slots` entries at a time.
 * Projects get their shares (fair-queue.ts). Work that keeps failing without progress waits longer each time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { quietly } from '#bounds/quietly.js';
import { StaleWatch } from '#storage/lease.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { type BackOffPolicy, backOffMs } from './back-off.js';
import type { Standing } from './claimed-log.js';
import { FairQueue } from './fair-queue.js';
import type { ProjectShares } from './fair-share.js';
import type { QueueEntry, QueueIndex } from './queue-index.js';

/** What the newest record of an entry's log says. */
export interface Found extends Standing {
  readonly sequence: number;
  /** True if its owner is known to have ended, so that no heartbeat has to be watched. */
  readonly ownerEnded?: boolean;
}

export interface ClaimantOptions {
  readonly queue: QueueIndex;
  readonly store: ObjectStore;
  readonly ttlMs: number;
  readonly pollMs: number;
  /** Number of entries that are worked on at the same time. */
  readonly slots: number;
  /** Weights and limits of projects; absent: equal shares, and no limits. */
  readonly shares?: ProjectShares | undefined;
  readonly backOff: BackOffPolicy;
  readonly logger: Logger;
  /** The present standing of an entry and its sequence number; undefined if its log does not exist (yet). */
  readonly standing: (entry: QueueEntry, signal: AbortSignal) => Promise<Found | undefined>;
  readonly heartbeatPrefix: (entry: QueueEntry) => string;
  /** Called last, for work that could be claimed now. If false, others may have the work until the next look. Absent: everything may be claimed. */
  readonly mayClaim?: (entry: QueueEntry, signal: AbortSignal) => Promise<boolean>;
  /**
   * Claims the entry if it still has the fence that was seen, and works on it until it is done or lost, or `stopping` aborts. Resolves to false if
   * another worker was faster. Must not throw when the work itself fails.
   */
  readonly work: (entry: QueueEntry, seenFence: number, stopping: AbortSignal) => Promise<boolean>;
  /** Called after every look with the number of waiting entries. */
  readonly onDepth?: (waiting: number) => void;
  readonly onActive?: (active: number) => void;
  /** After so many ms without any work, it takes nothing more, and `onIdle` is called once. Absent: never. */
  readonly idleMs?: number | undefined;
  readonly onIdle?: () => void;
}

interface Watched {
  readonly stale: StaleWatch;
  sequence: number;
  /** Time at which this process first saw that sequence number, by its own clock. */
  sinceMs: number;
}

export class Claimant {
  readonly #options: ClaimantOptions;
  readonly #stopping = new AbortController();
  readonly #active = new Map<string, Promise<void>>();
  readonly #watched = new Map<string, Watched>();
  readonly #fair: FairQueue;
  #loop: Promise<void> = Promise.resolve();
  /** When it last had work, or work that may yet become its own. */
  #busyAtMs = performance.now();

  constructor(options: ClaimantOptions) {
    this.#options = options;
    this.#fair = new FairQueue(options.shares, keyOf);
  }

  start(): void {
    this.#busyAtMs = performance.now();
    this.#loop = this.#run();
  }

  /** Takes nothing new, asks all work in progress to stop, and resolves when it has stopped. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the worker is stopping'));
    await this.#loop;
    await Promise.all(this.#active.values());
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { logger, pollMs } = this.#options;
    while (!signal.aborted) {
      try {
        const hasProspects = await this.#look(signal);
        if (hasProspects || this.#active.size > 0) this.#busyAtMs = performance.now();
        // Nothing is awaited between this and the end of the loop, so no claim can have begun. A look that fails tells nothing.
        else if (this.#isIdle()) return this.#options.onIdle?.();
      } catch (error) {
        if (!signal.aborted) logger.warn({ error }, 'the queue could not be read');
      }
      await delay(pollMs, undefined, { signal }).catch(() => {});
    }
  }

  #isIdle(): boolean {
    return performance.now() - this.#busyAtMs >= (this.#options.idleMs ?? Number.POSITIVE_INFINITY);
  }

  /** @returns whether there is work that this process may have in a while, which a process that came after it would have to wait for again */
  async #look(signal: AbortSignal): Promise<boolean> {
    const { queue, onDepth, logger, slots, mayClaim } = this.#options;
    const entries = await queue.entries(signal);
    const present = new Set(entries.map(keyOf));
    for (const key of this.#watched.keys()) if (!present.has(key)) this.#watched.delete(key);
    let waiting = 0;
    let hasProspects = false;
    // Entries that were passed by because all slots were taken have had no chance, so a slot that is given back meanwhile is for the next look.
    let full = false;
    const look = new Look(entries, (entry) => this.#options.standing(entry, signal));
    for (const entry of this.#fair.order(entries)) {
      if (this.#active.has(keyOf(entry))) continue;
      try {
        const found = await look.at(entry);
        if (found === undefined) continue;
        if (found.state === 'over') {
          await this.#retire(entry, signal);
          continue;
        }
        if (found.state === 'waiting') waiting++;
        else this.#fair.saw(entry, found.fence);
        full ||= this.#active.size >= slots;
        if (full) continue;
        const free = await this.#isFree(entry, found, signal);
        hasProspects ||= free === 'later';
        if (free !== 'now') continue;
        if (found.state === 'waiting' && !(await this.#isWithinLimit(entry, look))) continue;
        if (!((await mayClaim?.(entry, signal)) ?? true)) continue;
        this.#fair.begins(entry);
        this.#begin(entry, found.fence);
      } catch (error) {
        if (signal.aborted) return hasProspects;
        logger.warn({ error, ...entry }, 'an entry of the queue could not be read');
      }
    }
    onDepth?.(waiting);
    return hasProspects;
  }

  /** Whether the project of waiting work may have one more worker. Of several processes that find this at the same time, each may claim one. */
  async #isWithinLimit({ project }: QueueEntry, look: Look): Promise<boolean> {
    const limit = this.#fair.limitOf(project);
    if (limit === Number.POSITIVE_INFINITY) return true;
    return (await look.claimsOf(project, (entry) => this.#active.has(keyOf(entry)))) < limit;
  }

  /**
   * Removes an entry whose work is over. Work that is queued again has its entry added both before and after its record, and the second time may fall
   * just before this removal. So the log is read once more afterwards: one of the two sides sees the other.
   */
  async #retire(entry: QueueEntry, signal: AbortSignal): Promise<void> {
    const { queue, standing } = this.#options;
    await queue.remove(entry, signal);
    const now = await standing(entry, signal);
    if (now !== undefined && now.state !== 'over') await queue.add(entry, signal);
  }

  /**
   * `now` if the work is waiting and its back-off is over, or if its owner is gone; `never` while its owner is alive. In between, it is `later`: each
   * process counts the back-off, and the time for which it sees no heartbeat, for itself.
   */
  async #isFree(entry: QueueEntry, found: Found, signal: AbortSignal): Promise<'now' | 'later' | 'never'> {
    const { ttlMs, backOff, store, heartbeatPrefix } = this.#options;
    const now = performance.now();
    const key = keyOf(entry);
    const watched = this.#watched.get(key) ?? { stale: new StaleWatch(ttlMs), sequence: -1, sinceMs: now };
    this.#watched.set(key, watched);
    if (watched.sequence !== found.sequence) {
      watched.sequence = found.sequence;
      watched.sinceMs = now;
    }
    // Whoever says that an owner has ended has started this process after a pause of its own.
    const attempts = found.ownerEnded ? found.fruitlessAttempts - 1 : found.fruitlessAttempts;
    const rested = now - watched.sinceMs >= backOffMs(backOff, attempts);
    if (found.state === 'waiting' || found.ownerEnded) return rested ? 'now' : 'later';
    // The heartbeat is read even during the back-off, so that the time for which it stays unchanged is counted.
    const standing = await watched.stale.look(store, heartbeatPrefix(entry), found.fence, { signal });
    if (standing === 'stale') return rested ? 'now' : 'later';
    return watched.stale.seenAlive ? 'never' : 'later';
  }

  #begin(entry: QueueEntry, seenFence: number): void {
    const { work, logger, onActive } = this.#options;
    const key = keyOf(entry);
    this.#watched.delete(key);
    const done = work(entry, seenFence, this.#stopping.signal)
      .catch((error) => logger.error({ error, ...entry }, 'work ended unexpectedly'))
      .then(() => {
        this.#active.delete(key);
        this.#busyAtMs = performance.now();
        onActive?.(this.#active.size);
      });
    this.#active.set(key, done);
    onActive?.(this.#active.size);
  }
}

/** What one look at the queue has found: every log is read at most once. */
class Look {
  readonly #found = new Map<QueueEntry, Promise<Found | undefined>>();

  constructor(
    private readonly entries: readonly QueueEntry[],
    private readonly standing: (entry: QueueEntry) => Promise<Found | undefined>,
  ) {}

  at(entry: QueueEntry): Promise<Found | undefined> {
    const known = this.#found.get(entry) ?? quietly(this.standing(entry));
    this.#found.set(entry, known);
    return known;
  }

  /** Number of entries of a project that have an owner, which those that are `active` here have. What cannot be read has none. */
  async claimsOf(project: string, active: (entry: QueueEntry) => boolean): Promise<number> {
    let claims = 0;
    for (const entry of this.entries) {
      if (entry.project !== project) continue;
      if (active(entry) || (await this.at(entry).catch(() => undefined))?.state === 'owned') claims++;
    }
    return claims;
  }
}

const keyOf = ({ project, id, uid }: QueueEntry): string => `${project}/${id}/${uid}`;
