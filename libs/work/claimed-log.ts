/**
 * A log as the current owner of its work sees it. The owner appends only while its claim is valid, and polls the log to learn that another worker has
 * claimed the work or that somebody has ended it. At the latest, the next append detects a lost claim: it conflicts, and is not repeated.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type GroupOffer, Heartbeat, heartbeatKey } from '#storage/lease.js';
import { type ObjectStore, StoreUnavailable } from '#storage/object-store.js';
import type { FoldedLog } from './folded-log.js';
import type { Incarnations } from './incarnations.js';

/** Another worker owns the work now: stop, and write nothing. */
export class ClaimLost extends Error {
  override readonly name = 'ClaimLost';
  constructor(
    readonly work: string,
    readonly fence: number,
    readonly newFence: number,
  ) {
    super(`${work} was claimed again in record ${newFence}; the claim in record ${fence} is no longer valid`);
  }
}

/** The work was ended by somebody (cancelled, for example) while it was in progress: stop, and write nothing. */
export class WorkEnded extends Error {
  override readonly name = 'WorkEnded';
  constructor(readonly work: string) {
    super(`${work} was ended by another process`);
  }
}

/** The work was deleted while it was in progress; its name may belong to other work by now. Stop: nobody reads what is written. */
export class WorkDeleted extends Error {
  override readonly name = 'WorkDeleted';
  constructor(
    readonly work: string,
    readonly uid: string,
  ) {
    super(`${work} with uid ${uid} was deleted`);
  }
}

/** What a claimant needs to know about the work. */
export interface Standing {
  /** `waiting`: may be claimed; `owned`: claimed by a worker; `over`: nothing to do, for now or for good. */
  readonly state: 'waiting' | 'owned' | 'over';
  /** Sequence number of the newest claim; 0 if there is none. */
  readonly fence: number;
  readonly fruitlessAttempts: number;
}

export interface ClaimedLogOptions<E, V> {
  /** Name of the work. */
  readonly work: string;
  readonly uid: string;
  readonly incarnations: Incarnations;
  readonly log: FoldedLog<E, V>;
  /** Sequence number of the claim. */
  readonly fence: number;
  readonly standing: (view: V) => Standing;
  readonly store: ObjectStore;
  /** The key of a heartbeat is `<prefix>/<fence>`. */
  readonly heartbeatPrefix: string;
  readonly owner: string;
  /** TTL of the claimants in ms; heartbeats are sent three times as often. */
  readonly ttlMs: number;
  /** Pause between two looks at the log in ms. */
  readonly pollMs: number;
  /** Called when no heartbeat has succeeded for so long that others may claim. The work goes on: only the log decides who owns it. */
  readonly onHeartbeatLost: (error: unknown) => void;
  /** Called with every offer that is announced, so that others find it. */
  readonly onOffer?: (offer: GroupOffer | undefined) => void;
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

  /** Starts the heartbeat and the polling. The caller stops it. */
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

  /** Aborts with ClaimLost, WorkEnded or WorkDeleted, or with the damage that was found in the log. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  get view(): V {
    return this.#options.log.view as V;
  }

  get standing(): Standing {
    return this.#options.standing(this.view);
  }

  /** Appends the record that `make` returns for the newest view. @throws ClaimLost, WorkEnded */
  async append(make: (view: V) => E | undefined, signal?: AbortSignal): Promise<V> {
    const view = await this.#options.log.append((newest) => {
      this.#check(newest as V);
      return make(newest as V);
    }, signal);
    return view as V;
  }

  /** Reads new records of other writers. @throws ClaimLost, WorkEnded */
  async refresh(signal?: AbortSignal): Promise<V> {
    const view = (await this.#options.log.refresh(signal)) as V;
    this.#check(view);
    return view;
  }

  /** Tells other workers that they may join; undefined: that they may not. */
  announce(offer: GroupOffer | undefined): void {
    this.#heartbeat?.announce(offer);
    this.#options.onOffer?.(offer);
  }

  /** Sequence number of the claim. */
  get fence(): number {
    return this.#options.fence;
  }

  /** Stops the heartbeat and the polling. The claim itself ends with the appended record or with the next claim. */
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
      try {
        // Asked first, because a log that is being deleted looks damaged; and at once, because the work may have been deleted just before the claim.
        const { work, uid, incarnations } = this.#options;
        if (!(await incarnations.isCurrent(work, uid, signal))) this.#lose(new WorkDeleted(work, uid));
        await this.refresh(signal);
      } catch (error) {
        // A lost claim aborts the signal. If the store is unreachable, it is asked again.
        if (!signal.aborted && !this.#lost.signal.aborted && !(error instanceof StoreUnavailable)) this.#lost.abort(error);
      }
      await delay(this.#options.pollMs, undefined, { signal }).catch(() => {});
    }
  }
}
