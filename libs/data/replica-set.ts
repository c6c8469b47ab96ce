/** The replicas of the data service that a client knows: which one to ask next, and which ones to leave alone for a while. */

import type { DataServiceService } from '#protocol/dropstream/v1/data.js';
import { type ConnectOptions, connect, type TypedClient } from '#rpc/client.js';
import { BatchServiceClient } from './batch-message.js';

export interface Replica {
  readonly address: string;
  readonly client: TypedClient<typeof DataServiceService>;
}

interface Health {
  readonly replica: Replica;
  inFlight: number;
  /** Failures in a row. */
  failures: number;
  /** performance.now() until which others are preferred; 0: healthy. */
  excludedUntil: number;
}

export const FIRST_EXCLUSION_MS = 200;
export const LONGEST_EXCLUSION_MS = 10_000;

export class ReplicaSet {
  readonly #all: Health[];
  #turn = 0;

  /** One address a replica, `host:port` or a gRPC target. Connects lazily; to be closed by the owner. */
  constructor(addresses: readonly string[], options: ConnectOptions = {}) {
    if (addresses.length === 0) throw new RangeError('a data client needs the address of at least one replica');
    // Failing over is done here, by batch: a retry inside the channel would only wait for the same replica.
    this.#all = addresses.map((address) => ({
      replica: { address, client: connect(BatchServiceClient, address, { ...options, retry: { attempts: 1 } }) },
      inFlight: 0,
      failures: 0,
      excludedUntil: 0,
    }));
  }

  get size(): number {
    return this.#all.length;
  }

  get addresses(): string[] {
    return this.#all.map(({ replica }) => replica.address);
  }

  /**
   * The replica with the fewest calls in flight that is not excluded and not in `refused`, in turn among equals; where all are
   * excluded, the first one to come back and how long until then. Undefined when all are in `refused`.
   */
  choose(refused: ReadonlySet<string>, now = performance.now()): { replica: Replica; waitMs: number } | undefined {
    const open = this.#all.filter(({ replica }) => !refused.has(replica.address));
    if (open.length === 0) return undefined;
    const healthy = open.filter(({ excludedUntil }) => excludedUntil <= now);
    if (healthy.length === 0) {
      const first = open.reduce((a, b) => (b.excludedUntil < a.excludedUntil ? b : a));
      return { replica: first.replica, waitMs: first.excludedUntil - now };
    }
    const least = Math.min(...healthy.map(({ inFlight }) => inFlight));
    const candidates = healthy.filter(({ inFlight }) => inFlight === least);
    return { replica: (candidates[this.#turn++ % candidates.length] as Health).replica, waitMs: 0 };
  }

  begin(replica: Replica): void {
    this.#health(replica).inFlight++;
  }

  succeeded(replica: Replica): void {
    const health = this.#health(replica);
    health.inFlight--;
    health.failures = 0;
    health.excludedUntil = 0;
  }

  /** The call ended for a reason that is not the replica's. */
  ended(replica: Replica): void {
    this.#health(replica).inFlight--;
  }

  /** Excludes the replica for 200 ms, doubled with each failure in a row up to 10 s, and at least for `retryAfterMs`. */
  failed(replica: Replica, retryAfterMs = 0, now = performance.now()): void {
    const health = this.#health(replica);
    health.inFlight--;
    const own = FIRST_EXCLUSION_MS * 2 ** Math.min(health.failures, 10);
    // Calls that failed together count once.
    if (health.excludedUntil <= now) health.failures++;
    health.excludedUntil = Math.max(health.excludedUntil, now + Math.min(LONGEST_EXCLUSION_MS, Math.max(own, retryAfterMs)));
  }

  close(): void {
    for (const { replica } of this.#all) replica.client.close();
  }

  #health(replica: Replica): Health {
    return this.#all.find((health) => health.replica === replica) as Health;
  }
}
