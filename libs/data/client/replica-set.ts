/** The replicas of the data service that a client knows. Chooses the next one to ask, and excludes failing ones for a while. */

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
  /** Number of failures since the last success. */
  failures: number;
  /** The replica is excluded until this time of performance.now(); 0 if it is healthy. */
  excludedUntil: number;
}

/** How long a replica may take to answer a connection: another one may have the batch meanwhile. */
const CONNECT_MS = 5000;
export const FIRST_EXCLUSION_MS = 200;
export const LONGEST_EXCLUSION_MS = 10_000;

export class ReplicaSet {
  #all: Health[];
  /** Replicas that are not chosen any more; each is closed when its last call ends. */
  readonly #leaving = new Set<Health>();
  #turn = 0;
  #closed = false;

  /** Takes one address for each replica, `host:port` or a gRPC target. Connects lazily. The owner closes the set. */
  constructor(
    addresses: readonly string[],
    private readonly options: ConnectOptions = {},
  ) {
    if (addresses.length === 0) throw new RangeError('a data client needs the address of at least one replica');
    this.#all = addresses.map((address) => this.#connected(address));
  }

  #connected(address: string): Health {
    // Failing over is done here, batch by batch: a retry inside the channel would only wait for the same replica.
    // Each client has its own connection. Readers that share one also share its flow-control window, so one that stops reading would stop the others.
    const channel = { 'grpc.use_local_subchannel_pool': 1, ...this.options.channel };
    const client = connect(BatchServiceClient, address, { connectMs: CONNECT_MS, ...this.options, channel, retry: { attempts: 1 } });
    return { replica: { address, client }, inFlight: 0, failures: 0, excludedUntil: 0 };
  }

  /** Sets the current replicas. New ones are used from the next choice on; calls to removed ones may finish. */
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
   * Returns the replica with the fewest calls in flight that is neither excluded nor in `refused`; equal ones are used in turn. If all are excluded,
   * returns the one whose exclusion ends first, and the milliseconds until then. Returns undefined if all are in `refused`.
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

  /** Says that a call ended for a reason that is not the replica's fault. */
  ended(replica: Replica): void {
    this.#end(replica);
  }

  /** Excludes the replica for 200 ms, doubled with each failure in a row up to 10 s, and at least for `retryAfterMs`. */
  failed(replica: Replica, retryAfterMs = 0, now = performance.now()): void {
    const health = this.#end(replica);
    const own = FIRST_EXCLUSION_MS * 2 ** Math.min(health.failures, 10);
    // Calls that fail at the same time count as one failure.
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
