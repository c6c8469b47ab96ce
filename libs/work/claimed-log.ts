/**
 * A log as its owner of the moment sees it: appends only while the claim stands, and learns within a poll that it was taken over or that
 * the work was ended by somebody else. Losing a claim is noticed at the latest by the next append, which collides and is not repeated.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Heartbeat, heartbeatKey } from '#storage/lease.js';
import { type ObjectStore, StoreUnavailable } from '#storage/object-store.js';
import type { FoldedLog } from './folded-log.js';

/** Somebody else owns the work now: stop, write nothing. */
export class ClaimLost extends Error {
  override readonly name = 'ClaimLost';
  constructor(
    readonly work: string,
    readonly fence: number,
    readonly newFence: number,
  ) {
    super(`${work} was claimed at ${newFence}; the claim of ${fence} is over`);
  }
}

/** The work was ended (cancelled, for example) while it was worked on: stop, write nothing. */
export class WorkEnded extends Error {
  override readonly name = 'WorkEnded';
  constructor(readonly work: string) {
    super(`${work} was ended by somebody else`);
  }
}

/** What claiming needs to know of a view. */
export interface Standing {
  /** waiting: to be claimed; owned: somebody claimed it; over: nothing to do, now or for good. */
  readonly state: 'waiting' | 'owned' | 'over';
  /** Sequence of the newest claim; 0: none. */
  readonly fence: number;
  readonly fruitlessAttempts: number;
}

export interface ClaimedLogOptions<E, V> {
  /** Name of the work, for messages. */
  readonly work: string;
  readonly log: FoldedLog<E, V>;
  /** Sequence of the claim. */
  readonly fence: number;
  readonly standing: (view: V) => Standing;
  readonly store: ObjectStore;
  /** Heartbeats are `<prefix>/<fence>`. */
  readonly heartbeatPrefix: string;
  readonly owner: string;
  /** Of the claimants; beats come three times as often. */
  readonly ttlMs: number;
  /** Between looks at the log. */
  readonly pollMs: number;
  /** Told when no heartbeat succeeded for so long that others may claim. Work goes on: the log decides. */
  readonly onHeartbeatLost: (error: unknown) => void;
}

export class ClaimedLog<E, V> {
  readonly #options: ClaimedLogOptions<E, V>;
  readonly #lost = new AbortController();
  readonly #ending = new AbortController();
  #heartbeat: Heartbeat | undefined;
  #polling: Promise<void> = Promise.resolve();

  private constructor(options: ClaimedLogOptions<E, V>) {
    this.#options = options;
  }

  /** Starts heartbeat and polling; whoever starts it stops it. */
  static async start<E, V>(options: ClaimedLogOptions<E, V>): Promise<ClaimedLog<E, V>> {
    const claimed = new ClaimedLog(options);
    const { store, heartbeatPrefix, fence, owner, ttlMs, onHeartbeatLost } = options;
    claimed.#heartbeat = await Heartbeat.start(store, heartbeatKey(heartbeatPrefix, fence), {
      owner,
      intervalMs: ttlMs / 3,
      lostAfterMs: 0.9 * ttlMs,
      onLost: onHeartbeatLost,
    });
    claimed.#polling = claimed.#poll();
    return claimed;
  }

  /** Aborts with ClaimLost or WorkEnded. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  get view(): V {
    return this.#options.log.view as V;
  }

  get standing(): Standing {
    return this.#options.standing(this.view);
  }

  /** Appends what `make` makes of the newest view. @throws ClaimLost, WorkEnded */
  async append(make: (view: V) => E | undefined, signal?: AbortSignal): Promise<V> {
    const view = await this.#options.log.append((newest) => {
      this.#check(newest as V);
      return make(newest as V);
    }, signal);
    return view as V;
  }

  /** Reads what others have appended. @throws ClaimLost, WorkEnded */
  async refresh(signal?: AbortSignal): Promise<V> {
    const view = (await this.#options.log.refresh(signal)) as V;
    this.#check(view);
    return view;
  }

  /** Ends heartbeat and polling. The claim itself ends by what was appended, or by the next one. */
  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#polling;
    await this.#heartbeat?.stop({ signal: AbortSignal.timeout(5000) }).catch(() => {});
  }

  #check(view: V): void {
    const { work, fence, standing } = this.#options;
    const now = standing(view);
    if (now.fence !== fence) this.#lose(new ClaimLost(work, fence, now.fence));
    if (now.state !== 'owned') this.#lose(new WorkEnded(work));
  }

  #lose(why: Error): never {
    if (!this.#lost.signal.aborted) this.#lost.abort(why);
    throw why;
  }

  async #poll(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted && !this.#lost.signal.aborted) {
      await delay(this.#options.pollMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.refresh(signal);
      } catch (error) {
        // Lost is told by the signal. A store that is away is asked again.
        if (!signal.aborted && !this.#lost.signal.aborted && !(error instanceof StoreUnavailable)) this.#lost.abort(error);
      }
    }
  }
}
