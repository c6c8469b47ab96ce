import { setTimeout as delay } from 'node:timers/promises';
import { ObjectNotFound, type ObjectStore, type SignalOption } from './object-store.js';

/**
 * Who works on something that has a log. Safety: a claim is a record of the log, so of any number of claimants one gets it, and
 * whoever claimed before collides at its next append and stops; the claim's sequence number is the fence. Liveness, which is what
 * is here: the owner overwrites a heartbeat object of its fence, and others claim when they have seen the same heartbeat for a
 * whole TTL on their own monotonic clock. Nothing compares clocks of two machines.
 */

/** Monotonic milliseconds. Default performance.now. */
export type MonotonicClock = () => number;

/** A heartbeat belongs to one claim, so a late owner's beats never make its successor look alive. */
export const heartbeatKey = (prefix: string, fence: number): string => `${prefix}/${String(fence).padStart(12, '0')}`;

export interface HeartbeatOptions {
  owner: string;
  /** From the start of one beat to the start of the next, in ms; a third of the claimants' TTL or less. */
  intervalMs: number;
  /** How long no beat may succeed before `onLost` is called: less than the claimants' TTL. */
  lostAfterMs: number;
  /** Called at most once, and must not throw: claimants may now take over. Beats go on, should the store come back. */
  onLost(error: unknown): void;
}

/** A put that hangs is given up after this or the interval, whichever is longer, and the next beat is sent. */
const SHORTEST_DEADLINE_MS = 1000;

/** Beats until it is stopped; whoever starts it stops it. */
export class Heartbeat {
  private readonly ending = new AbortController();
  private readonly running: Promise<void>;
  private lostTimer: NodeJS.Timeout | undefined;
  private lost = false;
  private lastError: unknown;

  private constructor(
    private readonly store: ObjectStore,
    private readonly key: string,
    private readonly options: HeartbeatOptions,
    firstSentAtMs: number,
  ) {
    this.expectNext(firstSentAtMs);
    this.running = this.beatOn(firstSentAtMs);
  }

  /** Resolves once the first beat is in the store. */
  static async start(store: ObjectStore, key: string, options: HeartbeatOptions, { signal }: SignalOption = {}): Promise<Heartbeat> {
    const sentAtMs = performance.now();
    await store.put(key, beatBytes(options.owner, 0), { contentType: 'application/json', signal });
    return new Heartbeat(store, key, options, sentAtMs);
  }

  /** Ends the beats and removes the heartbeat object, which tells claimants nothing: they still wait a full TTL. */
  async stop({ signal }: SignalOption = {}): Promise<void> {
    this.ending.abort();
    clearTimeout(this.lostTimer);
    await this.running;
    await this.store.delete(this.key, { signal });
  }

  private async beatOn(firstSentAtMs: number): Promise<void> {
    const { owner, intervalMs } = this.options;
    const { signal } = this.ending;
    let sentAtMs = firstSentAtMs;
    for (let beat = 1; ; beat++) {
      await delay(Math.max(1, sentAtMs + intervalMs - performance.now()), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      sentAtMs = performance.now();
      try {
        await this.store.put(this.key, beatBytes(owner, beat), {
          contentType: 'application/json',
          signal: AbortSignal.any([signal, AbortSignal.timeout(Math.max(intervalMs, SHORTEST_DEADLINE_MS))]),
        });
        this.expectNext(sentAtMs);
      } catch (error) {
        this.lastError = error;
      }
      if (signal.aborted) return;
    }
  }

  /** @param sentAtMs when the put that succeeded was sent: a claimant may have seen its bytes as early as that */
  private expectNext(sentAtMs: number): void {
    clearTimeout(this.lostTimer);
    if (this.lost || this.ending.signal.aborted) return;
    const { lostAfterMs, onLost } = this.options;
    // A timer of its own, since the put under way may hang for longer than is left.
    this.lostTimer = setTimeout(
      () => {
        this.lost = true;
        onLost(this.lastError ?? new Error(`no beat of ${this.key} succeeded for ${lostAfterMs} ms`));
      },
      Math.max(0, sentAtMs + lostAfterMs - performance.now()),
    );
  }
}

const beatBytes = (owner: string, beat: number): Buffer => Buffer.from(JSON.stringify({ owner, beat }));

/**
 * Decides that an owner is gone: only after seeing one and the same heartbeat (or none at all) from first to last over a full
 * TTL of this process's own clock. Another fence or other bytes start the time anew. What lies between two looks counts for half
 * a TTL at most: where the store was away, or this process stood still, an owner that could not beat either gets time to do so.
 */
export class StaleWatch {
  private seen: { fence: number; bytes: string; lastMs: number; watchedMs: number } | undefined;

  constructor(
    private readonly ttlMs: number,
    private readonly clock: MonotonicClock = () => performance.now(),
  ) {}

  /**
   * @param heartbeat what the store holds for this fence; undefined when nothing
   * @param askedAtMs when the store was asked, by the clock: the answer may have been true no later than that
   */
  observe(fence: number, heartbeat: Uint8Array | undefined, askedAtMs = this.clock()): 'watching' | 'stale' {
    const bytes = heartbeat === undefined ? '' : `=${Buffer.from(heartbeat).toString('base64')}`;
    if (this.seen?.fence !== fence || this.seen.bytes !== bytes) {
      // Counted from the answer's arrival: it may have come true just before.
      this.seen = { fence, bytes, lastMs: this.clock(), watchedMs: 0 };
      return 'watching';
    }
    this.seen.watchedMs += Math.min(Math.max(0, askedAtMs - this.seen.lastMs), this.ttlMs / 2);
    this.seen.lastMs = Math.max(this.seen.lastMs, askedAtMs);
    return this.seen.watchedMs >= this.ttlMs ? 'stale' : 'watching';
  }

  /** Looks at the store once. */
  async look(store: ObjectStore, prefix: string, fence: number, { signal }: SignalOption = {}): Promise<'watching' | 'stale'> {
    const askedAtMs = this.clock();
    let heartbeat: Uint8Array | undefined;
    try {
      heartbeat = (await store.get(heartbeatKey(prefix, fence), { maxBytes: 64 << 10, signal })).bytes;
    } catch (error) {
      if (!(error instanceof ObjectNotFound)) throw error;
    }
    return this.observe(fence, heartbeat, askedAtMs);
  }
}
