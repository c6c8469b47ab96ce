/**
 * Finds out whether a leader that a member hears nothing of is gone. Only then the member may claim the run: a claim dismisses the group of a leader that is
 * alive and only cannot be reached from here.
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { StaleWatch } from '#storage/lease.js';
import type { ObjectStore } from '#storage/object-store.js';

export type LeaderState =
  /** Its process has ended, or it has written no heartbeat for a TTL. */
  | 'gone'
  /** It has written a heartbeat meanwhile. */
  | 'alive';

export interface LeaderWatchOptions {
  readonly store: ObjectStore;
  /** The key of the leader's heartbeat is `<prefix>/<fence>`. */
  readonly heartbeatPrefix: string;
  readonly fence: number;
  /** host:port of the leader. */
  readonly address: string;
  readonly ttlMs: number;
  readonly signal: AbortSignal;
}

/** Between two looks at the heartbeat, in ms. */
const lookMs = 50;
/** How long a connection may take that only asks whether somebody listens, in ms. */
const dialMs = 500;

/** Resolves when it is known: at the latest after about a TTL in which the store answers. @throws the signal's reason */
export async function leaderState(options: LeaderWatchOptions): Promise<LeaderState> {
  const { store, heartbeatPrefix, fence, address, ttlMs, signal } = options;
  if (await isRefused(address, signal)) return 'gone';
  const watch = new StaleWatch(ttlMs);
  for (;;) {
    signal.throwIfAborted();
    // A store that does not answer tells nothing.
    const seen = await watch.look(store, heartbeatPrefix, fence, { signal }).catch(() => 'watching' as const);
    signal.throwIfAborted();
    if (seen === 'stale') return 'gone';
    if (watch.seenAlive) return 'alive';
    await delay(lookMs, undefined, { signal });
  }
}

/** Whether the leader's machine says that nobody listens there: its process has ended, which no cut connection looks like. */
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
