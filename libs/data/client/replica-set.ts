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
  #all: Health[];
  /** No longer chosen; closed with their last call. */
  readonly #leaving = new Set<Health>();
  #turn = 0;
  #closed = false;

  /** One address a replica, `host:port` or a gRPC target. Connects lazily; to be closed by the owner. */
  constructor(
    addresses: readonly string[],
    private readonly options: ConnectOptions = {},
  ) {
    if (addresses.length === 0) throw new RangeError('a data client needs the address of at least one replica');
    this.#all = addresses.map((address) => this.#connected(address));
  }

  #connected(address: string): Health {
    // Failing over is done here, by batch: a retry inside the channel would only wait for the same replica.
    // A connection of its own: readers that share one share its window, and one that stops reading would stop the others.
    const channel = { 'grpc.use_local_subchannel_pool': 1, ...this.options.channel };
    const client = connect(BatchServiceClient, address, { ...this.options, channel, retry: { attempts: 1 } });
    return { replica: { address, client }, inFlight: 0, failures: 0, excludedUntil: 0 };
  }

  /** The replicas that there are now: new ones are used from the next choice on, calls to those that are gone may finish. */
  update(addresses: readonly string[]): void {
    if (this.#closed || addresses.length === 0) return;
    const kept = this.#all.filter(({ replica }) => addresses.includes(replica.address));
    const known = new Set(kept.map(({ replica }) => replica.address));
    const gone = this.#all.filter((health) => !kept.includes(health));
    this.#all = [...kept, ...addresses.filter((address) => !known.has(address)).map((address) => this.#connected(address))];
    for (const health of gone) {
      this.#leaving.add(health);
      this.#letGo(health);
    }
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
    const health = this.#end(replica);
    health.failures = 0;
    health.excludedUntil = 0;
  }

  /** The call ended for a reason that is not the replica's. */
  ended(replica: Replica): void {
    this.#end(replica);
  }

  /** Excludes the replica for 200 ms, doubled with each failure in a row up to 10 s, and at least for `retryAfterMs`. */
  failed(replica: Replica, retryAfterMs = 0, now = performance.now()): void {
    const health = this.#end(replica);
    const own = FIRST_EXCLUSION_MS * 2 ** Math.min(health.failures, 10);
    // Calls that failed together count once.
    if (health.excludedUntil <= now) health.failures++;
    health.excludedUntil = Math.max(health.excludedUntil, now + Math.min(LONGEST_EXCLUSION_MS, Math.max(own, retryAfterMs)));
  }

  close(): void {
    this.#closed = true;
    for (const { replica } of [...this.#all, ...this.#leaving]) replica.client.close();
    this.#leaving.clear();
  }

  #end(replica: Replica): Health {
    const health = this.#health(replica);
    health.inFlight--;
    this.#letGo(health);
    return health;
  }

  #letGo(health: Health): void {
    if (health.inFlight === 0 && this.#leaving.delete(health)) health.replica.client.close();
  }

  #health(replica: Replica): Health {
    return [...this.#all, ...this.#leaving].find((health) => health.replica === replica) as Health;
  }
}
