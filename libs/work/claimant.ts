/**
 * Takes work off the queue: looks at every entry, claims what waits or what an owner has visibly abandoned, and works on at most `slots`
 * of it at a time. What keeps failing without getting further has to wait longer each time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { StaleWatch } from '#storage/lease.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { type BackOffPolicy, backOffMs } from './back-off.js';
import type { Standing } from './claimed-log.js';
import type { QueueEntry, QueueIndex } from './queue-index.js';

export interface ClaimantOptions {
  readonly queue: QueueIndex;
  readonly store: ObjectStore;
  readonly ttlMs: number;
  readonly pollMs: number;
  /** Pieces of work at the same time. */
  readonly slots: number;
  readonly backOff: BackOffPolicy;
  readonly logger: Logger;
  /** The newest standing of an entry and the sequence it has; undefined: its log does not exist (yet). */
  readonly standing: (entry: QueueEntry, signal: AbortSignal) => Promise<(Standing & { readonly sequence: number }) | undefined>;
  readonly heartbeatPrefix: (entry: QueueEntry) => string;
  /** Asked last, about work that could be claimed now; false leaves it to others until the next look. Absent: everything may be claimed. */
  readonly mayClaim?: (entry: QueueEntry, signal: AbortSignal) => Promise<boolean>;
  /**
   * Claims the entry if it still has the fence that was seen, and works on it until it is over, lost, or `stopping` aborts. Resolves to
   * false where somebody else was faster. Must not throw for failures of the work itself.
   */
  readonly work: (entry: QueueEntry, seenFence: number, stopping: AbortSignal) => Promise<boolean>;
  /** Told how many entries wait, after every look. */
  readonly onDepth?: (waiting: number) => void;
  readonly onActive?: (active: number) => void;
}

interface Watched {
  readonly stale: StaleWatch;
  sequence: number;
  /** When this process first saw that sequence, on its own clock. */
  sinceMs: number;
}

export class Claimant {
  readonly #options: ClaimantOptions;
  readonly #stopping = new AbortController();
  readonly #active = new Map<string, Promise<void>>();
  readonly #watched = new Map<string, Watched>();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ClaimantOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Takes nothing new, asks everything in work to stop, and resolves once it has. */
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
        await this.#look(signal);
      } catch (error) {
        if (!signal.aborted) logger.warn({ error }, 'the queue could not be read');
      }
      await delay(pollMs, undefined, { signal }).catch(() => {});
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { queue, onDepth, logger, slots, mayClaim } = this.#options;
    const entries = await queue.entries(signal);
    const present = new Set(entries.map(keyOf));
    for (const key of this.#watched.keys()) if (!present.has(key)) this.#watched.delete(key);
    let waiting = 0;
    for (const entry of entries) {
      if (this.#active.has(keyOf(entry))) continue;
      try {
        const found = await this.#options.standing(entry, signal);
        if (found === undefined) continue;
        if (found.state === 'over') {
          await this.#retire(entry, signal);
          continue;
        }
        if (found.state === 'waiting') waiting++;
        if (this.#active.size >= slots || !(await this.#isFree(entry, found, signal))) continue;
        if ((await mayClaim?.(entry, signal)) ?? true) this.#begin(entry, found.fence);
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ error, ...entry }, 'an entry of the queue could not be read');
      }
    }
    onDepth?.(waiting);
  }

  /**
   * Takes an entry off that stands for nothing. Work that is queued anew has its entry added before and after its record, and the last of
   * these may come just before the removal here: so the log is looked at once more after it, and one of the two sees the other.
   */
  async #retire(entry: QueueEntry, signal: AbortSignal): Promise<void> {
    const { queue, standing } = this.#options;
    await queue.remove(entry, signal);
    const now = await standing(entry, signal);
    if (now !== undefined && now.state !== 'over') await queue.add(entry, signal);
  }

  /** Whether it waits and has rested, or its owner has visibly abandoned it. */
  async #isFree(entry: QueueEntry, found: Standing & { readonly sequence: number }, signal: AbortSignal): Promise<boolean> {
    const { ttlMs, backOff, store, heartbeatPrefix } = this.#options;
    const now = performance.now();
    const key = keyOf(entry);
    const watched = this.#watched.get(key) ?? { stale: new StaleWatch(ttlMs), sequence: -1, sinceMs: now };
    this.#watched.set(key, watched);
    if (watched.sequence !== found.sequence) {
      watched.sequence = found.sequence;
      watched.sinceMs = now;
    }
    const rested = now - watched.sinceMs >= backOffMs(backOff, found.fruitlessAttempts);
    if (found.state === 'waiting') return rested;
    // Looked at even while it rests: the time of an unchanged heartbeat runs meanwhile.
    const standing = await watched.stale.look(store, heartbeatPrefix(entry), found.fence, { signal });
    return standing === 'stale' && rested;
  }

  #begin(entry: QueueEntry, seenFence: number): void {
    const { work, logger, onActive } = this.#options;
    const key = keyOf(entry);
    this.#watched.delete(key);
    const done = work(entry, seenFence, this.#stopping.signal)
      .catch((error) => logger.error({ error, ...entry }, 'work ended unexpectedly'))
      .then(() => {
        this.#active.delete(key);
        onActive?.(this.#active.size);
      });
    this.#active.set(key, done);
    onActive?.(this.#active.size);
  }
}

const keyOf = ({ project, id }: QueueEntry): string => `${project}/${id}`;
