/**
 * Finds out whether a leader that a member hears nothing of is gone. Only then the member may claim the run: a claim dismisses the group of a leader that is
 * alive and only cannot be reached from here.
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { readOffer, StaleWatch } from '#storage/lease.js';
import { type ObjectStore, StoreUnavailable } from '#storage/object-store.js';

export type LeaderState =
  /** Its process has ended, it has written no heartbeat for a TTL, or the run's log says that it does not own the run any more. */
  | 'gone'
  /** It has written a heartbeat or a record meanwhile. */
  | 'alive';

/** What the run's log says about its owner. */
export interface ClaimSeen {
  /** Of the newest claim. */
  readonly fence: number;
  /** Of the newest record. */
  readonly sequence: number;
}

export interface LeaderWatchOptions {
  readonly store: ObjectStore;
  /** The key of the leader's heartbeat is `<prefix>/<fence>`. */
  readonly heartbeatPrefix: string;
  readonly fence: number;
  /** host:port of the leader. */
  readonly address: string;
  /** Reads the run's log; undefined if the run is gone. If it rejects with anything but StoreUnavailable, only the heartbeat tells. */
  readonly claim: (signal: AbortSignal) => Promise<ClaimSeen | undefined>;
  readonly ttlMs: number;
  readonly signal: AbortSignal;
}

/** Between two looks at first, in ms. */
const lookMs = 50;
/** Looks in a TTL later, when nothing but the heartbeat decides; and of how many of them one reads the log. */
const [looksPerTtl, looksPerRead] = [20, 10];
/** How long a connection may take that only asks whether somebody listens, in ms. */
const dialMs = 500;
/**
 * How long the leader's address must refuse connections, in ms, without a sign of life of the leader in the store. A network that restarts refuses, too;
 * meanwhile a leader that notices that its member is lost says so with a heartbeat at once.
 */
const refusedMs = 500;

/** Resolves when it is known: at the latest after about a TTL in which the store answers, whether or not the log can be read. @throws the signal's reason */
export async function leaderState(options: LeaderWatchOptions): Promise<LeaderState> {
  const { store, heartbeatPrefix, fence, address, claim, ttlMs, signal } = options;
  const watch = new StaleWatch(ttlMs);
  const begunMs = performance.now();
  let first: ClaimSeen | undefined;
  /** When the store first answered, by performance.now(). A refusal counts from then on. */
  let knownSinceMs: number | undefined;
  let isSlow = false;
  let refuses = await isRefused(address, signal);
  for (let look = 0; ; look++) {
    signal.throwIfAborted();
    const lookedMs = performance.now();
    // A store that does not answer tells nothing.
    const heartbeat = await watch.look(store, heartbeatPrefix, fence, { signal }).catch(() => undefined);
    signal.throwIfAborted();
    // Whatever the log says, and even if it cannot be read: others may claim the run as well.
    if (heartbeat === 'stale') return 'gone';
    // An owner that has lost its claim removes its heartbeat, which changes it, too.
    const isRead = !isSlow || refuses || watch.seenAlive || look % looksPerRead === 0;
    const [claimed, offer] = await Promise.all([
      isRead ? claimNow(claim, signal) : 'unknown',
      refuses ? readOffer(store, heartbeatPrefix, fence, signal).catch(() => 'unknown' as const) : undefined,
    ]);
    signal.throwIfAborted();
    if (typeof claimed === 'object') {
      first ??= claimed;
      if (claimed.fence !== fence) return 'gone';
      if (claimed.sequence !== first.sequence) return 'alive';
    }
    if (claimed === 'none') return 'gone';
    if (claimed !== 'unknown' && watch.seenAlive) return 'alive';
    if (heartbeat !== undefined && claimed !== 'unknown' && offer !== 'unknown') {
      // Nobody has said that this is where the leader is now.
      if (offer?.address !== address) refuses = false;
      knownSinceMs ??= lookedMs;
      if (refuses && lookedMs - knownSinceMs >= refusedMs) return 'gone';
    }
    isSlow = lookedMs - (knownSinceMs ?? begunMs) >= refusedMs;
    await delay(isSlow ? Math.max(lookMs, ttlMs / looksPerTtl) : lookMs, undefined, { signal });
    // Once somebody has listened there, or has not answered, only the store knows.
    refuses &&= await isRefused(address, signal);
  }
}

/** `none`: the run is gone. `damaged`: its log cannot be read, so that only the heartbeat tells. `unknown`: the store does not answer. */
async function claimNow(claim: LeaderWatchOptions['claim'], signal: AbortSignal): Promise<ClaimSeen | 'none' | 'damaged' | 'unknown'> {
  try {
    return (await claim(signal)) ?? 'none';
  } catch (error) {
    return error instanceof StoreUnavailable ? 'unknown' : 'damaged';
  }
}

/** Whether the leader's machine says that nobody listens there: its process has ended, or the network is not itself, but no cut connection looks like it. */
export async function isRefused(address: string, signal: AbortSignal): Promise<boolean> {
  const { hostname, port } = new URL(`tcp://${address}`);
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port), signal });
  try {
    return await new Promise<boolean>((resolve) => {
      socket.setTimeout(dialMs, () => resolve(false));
      socket.once('connect', () => resolve(false));
      socket.once('error', (error) => resolve((error as NodeJS.ErrnoException).code === 'ECONNREFUSED'));
    });
  } finally {
    socket.destroy();
  }
}
