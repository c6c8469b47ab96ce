import { setTimeout as delay } from 'node:timers/promises';
import { parseOwnJson } from '#bounds/own-json.js';
import { ObjectNotFound, type ObjectStore, type SignalOption } from './object-store.js';

/**
 * Decides who works on something that has a log. Safety comes from the log: a claim is a log record, and only one of several claimants succeeds in
 * appending it. The former owner's next append then conflicts, and it stops. The claim's sequence number is the fence. This file provides liveness:
 * the owner overwrites a heartbeat object of its fence, and another process claims the work when it has seen the same heartbeat for a whole TTL of
 * its own monotonic clock. The clocks of two machines are never compared.
 */

/** Monotonic time in milliseconds. Default performance.now. */
export type MonotonicClock = () => number;

/** A heartbeat belongs to one claim, so late heartbeats of a former owner never make its successor look alive. */
export const heartbeatKey = (prefix: string, fence: number): string => `${prefix}/${String(fence).padStart(12, '0')}`;

export interface HeartbeatOptions {
  owner: string;
  /** Time from the start of one heartbeat to the start of the next, in ms; at most a third of the claimants' TTL. */
  intervalMs: number;
  /** Time without a successful heartbeat, in ms, after which `onLost` is called; must be less than the claimants' TTL. */
  lostAfterMs: number;
  /** Called at most once; must not throw. From then on, claimants may take over. Heartbeats continue in case the store comes back. */
  onLost(error: unknown): void;
}

/** What an owner tells besides being alive: the group that others may join. */
export interface GroupOffer {
  /** host:port of the gRPC server of the worker that leads. */
  readonly address: string;
  /** Number of workers that compute the work, the owner included. */
  readonly members: number;
  /** Number of workers that may still join. */
  readonly wants: number;
  /** Number of workers that it lacks and waits for; absent: 0. */
  readonly needs?: number;
}

/** A put that hangs is aborted after this time or the interval, whichever is longer; then the next heartbeat is sent. */
const SHORTEST_DEADLINE_MS = 1000;

/** Sends heartbeats until it is stopped by whoever started it. */
export class Heartbeat {
  private readonly ending = new AbortController();
  private readonly running: Promise<void>;
  private lostTimer: NodeJS.Timeout | undefined;
  private lost = false;
  private lastError: unknown;
  private offer: GroupOffer | undefined;
  private hurry = new AbortController();

  private constructor(
    private readonly store: ObjectStore,
    private readonly key: string,
    private readonly options: HeartbeatOptions,
    firstSentAtMs: number,
  ) {
    this.expectNext(firstSentAtMs);
    this.running = this.beatOn(firstSentAtMs);
  }

  /** Resolves when the first heartbeat is in the store. */
  static async start(store: ObjectStore, key: string, options: HeartbeatOptions, { signal }: SignalOption = {}): Promise<Heartbeat> {
    const sentAtMs = performance.now();
    await store.put(key, beatBytes(options.owner, 0), { contentType: 'application/json', signal });
    return new Heartbeat(store, key, options, sentAtMs);
  }

  /** Tells from the next heartbeat on, which is sent at once, that others may join; undefined: that nobody may. */
  announce(offer: GroupOffer | undefined): void {
    this.offer = offer;
    this.hurry.abort();
  }

  /** Stops the heartbeats and deletes the object. Claimants draw no conclusion from that: they still wait a full TTL. */
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
      const waiting = AbortSignal.any([signal, this.hurry.signal]);
      await delay(Math.max(1, sentAtMs + intervalMs - performance.now()), undefined, { signal: waiting }).catch(() => undefined);
      if (signal.aborted) return;
      this.hurry = new AbortController();
      sentAtMs = performance.now();
      try {
        await this.store.put(this.key, beatBytes(owner, beat, this.offer), {
          contentType: 'application/json',
          signal: AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(Math.max(intervalMs, SHORTEST_DEADLINE_MS)))]),
        });
        this.expectNext(sentAtMs);
      } catch (error) {
        this.lastError = error;
      }
      if (signal.aborted) return;
    }
  }

  /** @param sentAtMs when the successful put was sent, which is the earliest time at which a claimant may have seen its bytes */
  private expectNext(sentAtMs: number): void {
    clearTimeout(this.lostTimer);
    if (this.lost || this.ending.signal.aborted) return;
    const { lostAfterMs, onLost } = this.options;
    // This timer is separate because the pending put may hang for longer than the time that is left.
    this.lostTimer = setTimeout(
      () => {
        this.lost = true;
        onLost(this.lastError ?? new Error(`no heartbeat of ${this.key} succeeded for ${lostAfterMs} ms`));
      },
      Math.max(0, sentAtMs + lostAfterMs - performance.now()),
    );
  }
}

const beatBytes = (owner: string, beat: number, group?: GroupOffer): Buffer => Buffer.from(JSON.stringify({ owner, beat, group }));

/** The group that the owner of a claim offers to join; undefined if it offers none, or has no heartbeat. @throws errors of the store */
export async function readOffer(store: ObjectStore, prefix: string, fence: number, signal: AbortSignal): Promise<GroupOffer | undefined> {
  const heartbeat = await readHeartbeat(store, prefix, fence, signal);
  if (heartbeat === undefined) return undefined;
  try {
    const { group } = parseOwnJson(Buffer.from(heartbeat).toString()) as { group?: Partial<GroupOffer> };
    if (typeof group?.address !== 'string' || !Number.isInteger(group.members) || !Number.isInteger(group.wants)) return undefined;
    return group as GroupOffer;
  } catch (error) {
    // Whatever is there instead of a heartbeat, it offers nothing; whether the owner is alive does not depend on what a heartbeat says.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function readHeartbeat(
  store: ObjectStore,
  prefix: string,
  fence: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  try {
    return (await store.get(heartbeatKey(prefix, fence), { maxBytes: 64 << 10, signal })).bytes;
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}

/**
 * Decides that an owner is gone: only after seeing the same heartbeat, or none, over a full TTL of this process's own clock. Another fence or other
 * bytes restart the time. The time between two looks counts for at most half a TTL. So if the store was unreachable or this process was suspended, an
 * owner that could not write its heartbeat either has time to do so.
 */
export class StaleWatch {
  private seen: { fence: number; bytes: string; lastMs: number; watchedMs: number; hasChanged: boolean } | undefined;

  constructor(
    private readonly ttlMs: number,
    private readonly clock: MonotonicClock = () => performance.now(),
  ) {}

  /** Whether this process has seen the owner alive: it has written a heartbeat since the first look. */
  get seenAlive(): boolean {
    return this.seen?.hasChanged ?? false;
  }

  /**
   * @param heartbeat what the store holds for this fence; undefined if nothing
   * @param askedAtMs time of the request by this clock; the answer is only known to be true up to that time
   */
  observe(fence: number, heartbeat: Uint8Array | undefined, askedAtMs = this.clock()): 'watching' | 'stale' {
    const bytes = heartbeat === undefined ? '' : `=${Buffer.from(heartbeat).toString('base64')}`;
    if (this.seen?.fence !== fence || this.seen.bytes !== bytes) {
      // The time counts from the arrival of the answer, because the heartbeat may have been written just before.
      this.seen = { fence, bytes, lastMs: this.clock(), watchedMs: 0, hasChanged: this.seen?.fence === fence };
      return 'watching';
    }
    this.seen.watchedMs += Math.min(Math.max(0, askedAtMs - this.seen.lastMs), this.ttlMs / 2);
    this.seen.lastMs = Math.max(this.seen.lastMs, askedAtMs);
    return this.seen.watchedMs >= this.ttlMs ? 'stale' : 'watching';
  }

  /** Reads the heartbeat from the store once. */
  async look(store: ObjectStore, prefix: string, fence: number, { signal }: SignalOption = {}): Promise<'watching' | 'stale'> {
    const askedAtMs = this.clock();
    return this.observe(fence, await readHeartbeat(store, prefix, fence, signal), askedAtMs);
  }
}
