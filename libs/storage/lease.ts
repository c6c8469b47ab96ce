import { setTimeout as delay } from 'node:timers/promises';
import { ObjectNotFound, type ObjectStore, type SignalOption, StorageError } from './object-store.js';
import { type JsonObject, LogConflict, type LogRecord, type RecordLog } from './record-log.js';

/**
 * Who works on a run. Safety: the claim is a record of the run's log, so of any number of claimants one gets it, and whoever
 * claimed before collides at its next append and stops; the claim's sequence number is the fence. Liveness: the owner overwrites
 * a heartbeat object of its fence, and others claim when they have seen the same heartbeat for a whole TTL on their own
 * monotonic clock. Nothing compares clocks of two machines.
 */
export interface Claim {
  /** Sequence number of the claim record; grows with every claim. */
  fence: number;
  record: LogRecord;
}

/** Monotonic milliseconds. Default performance.now. */
export type MonotonicClock = () => number;

/**
 * Claims at the log's head; the caller has read the log up to there and found it claimable.
 * @returns undefined when the log has gone on meanwhile: somebody else claimed, or something happened that must be read first
 */
export async function claim(
  log: RecordLog,
  owner: string,
  payload: JsonObject = {},
  options: SignalOption = {},
): Promise<Claim | undefined> {
  try {
    const record = await log.append('claimed', { ...payload, owner }, options);
    return { fence: record.seq, record };
  } catch (error) {
    if (error instanceof LogConflict) return undefined;
    throw error;
  }
}

/** Somebody claimed after this owner: it must stop at once and touch nothing more. */
export class FenceLost extends StorageError {
  constructor(
    readonly prefix: string,
    readonly fence: number,
    readonly newerFence: number,
  ) {
    super(`log ${prefix}: the claim ${fence} was superseded by ${newerFence}`);
  }
}

/**
 * Appends for the owner of a claim, in a log that others may add requests to. Records that came in between are handed over
 * in order, then the append is tried after them; a newer claim among them ends it.
 * @throws FenceLost, and what RecordLog.append throws but LogConflict
 */
export async function appendAsOwner(
  log: RecordLog,
  fence: number,
  kind: string,
  payload: JsonObject,
  onRecord: (record: LogRecord) => void,
  options: SignalOption = {},
): Promise<LogRecord> {
  for (;;) {
    try {
      return await log.append(kind, payload, options);
    } catch (error) {
      if (!(error instanceof LogConflict)) throw error;
      for (const record of await log.catchUp(options)) {
        if (record.kind === 'claimed' && record.seq > fence) throw new FenceLost(log.prefix, fence, record.seq);
        onRecord(record);
      }
    }
  }
}

/** A heartbeat belongs to one claim, so a late owner's beats never make its successor look alive. */
export const heartbeatKey = (prefix: string, fence: number): string => `${prefix}/${String(fence).padStart(12, '0')}`;

export interface HeartbeatOptions {
  owner: string;
  /** Between beats, in ms; a third of the claimants' TTL or less. */
  intervalMs: number;
  /** How long no beat may succeed before `onLost` is called: less than the claimants' TTL. */
  lostAfterMs: number;
  /** Called once: claimants may now take over, so the owner had better stop. */
  onLost(error: unknown): void;
  clock?: MonotonicClock;
}

/** Beats until it is stopped; whoever starts it stops it. */
export class Heartbeat {
  private readonly ending = new AbortController();
  private readonly running: Promise<void>;
  private lost = false;

  private constructor(
    private readonly store: ObjectStore,
    private readonly key: string,
    private readonly options: HeartbeatOptions,
  ) {
    this.running = this.beatOn();
  }

  /** Resolves once the first beat is in the store. */
  static async start(store: ObjectStore, key: string, options: HeartbeatOptions, { signal }: SignalOption = {}): Promise<Heartbeat> {
    await store.put(key, beatBytes(options.owner, 0), { contentType: 'application/json', signal });
    return new Heartbeat(store, key, options);
  }

  /** Ends the beats and removes the heartbeat object, which tells claimants nothing: they still wait a full TTL. */
  async stop({ signal }: SignalOption = {}): Promise<void> {
    this.ending.abort();
    await this.running;
    await this.store.delete(this.key, { signal });
  }

  private async beatOn(): Promise<void> {
    const { owner, intervalMs, lostAfterMs, onLost, clock = () => performance.now() } = this.options;
    const { signal } = this.ending;
    let lastSuccess = clock();
    let lastError: unknown;
    for (let beat = 1; ; beat++) {
      await delay(intervalMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      // Counted from before the put: a claimant may have seen these bytes as early as that.
      const sentAt = clock();
      try {
        await this.store.put(this.key, beatBytes(owner, beat), {
          contentType: 'application/json',
          signal: AbortSignal.any([signal, AbortSignal.timeout(Math.max(intervalMs, 1000))]),
        });
        lastSuccess = sentAt;
      } catch (error) {
        lastError = error;
      }
      if (!signal.aborted && !this.lost && clock() - lastSuccess >= lostAfterMs) {
        this.lost = true;
        onLost(lastError ?? new Error(`no beat of ${this.key} succeeded for ${lostAfterMs} ms`));
      }
    }
  }
}

const beatBytes = (owner: string, beat: number): Buffer => Buffer.from(JSON.stringify({ owner, beat }));

/**
 * Decides that an owner is gone: only after seeing one and the same heartbeat (or none at all) from first to last over a full
 * TTL of this process's own clock. Another fence or other bytes start the time anew.
 */
export class StaleWatch {
  private seen: { fence: number; bytes: string; sinceMs: number } | undefined;

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
    if (!this.seen || this.seen.fence !== fence || this.seen.bytes !== bytes) this.seen = { fence, bytes, sinceMs: this.clock() };
    return askedAtMs - this.seen.sinceMs >= this.ttlMs ? 'stale' : 'watching';
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
