/**
 * Batches of a plan, in order, from any number of replicas of the data service: several calls in flight within a byte budget, each batch
 * tried elsewhere when a replica fails, every payload checked against its SHA-256 and every header against the plan's digest.
 *
 *     const client = new BatchClient({ addresses: ['127.0.0.1:7011', '127.0.0.1:7021'] });
 *     for await (const batch of client.batches({ plan, from: { epoch: 0, index: 0 }, epochs: 5, signal })) { …; batch.release(); }
 *     client.close();
 */
import { randomUUID } from 'node:crypto';
import {
  Cancelled,
  DataLoss,
  DeadlineExceeded,
  FailedPrecondition,
  PermissionDenied,
  RemoteError,
  ResourceExhausted,
  Unavailable,
} from '#errors/errors.js';
import { PIXEL_SEMANTICS_VERSION } from '#native/pixels.js';
import { type DescribeDatasetResponse, type GetBatchRequest, PixelFormat, type Plan as PlanMessage } from '#protocol/dropstream/v1/data.js';
import type { ConnectOptions } from '#rpc/client.js';
import { wait } from '#rpc/retry.js';
import { resolvePlan } from '../plan/plan.js';
import { planDigest } from '../plan/plan-digest.js';
import { type Batch, payloadBytes } from './batch.js';
import { DamagedBatch, type Expected, fetchBatch } from './fetch-batch.js';
import { PayloadPool } from './payload-pool.js';
import { type Discover, isDiscovered, ReplicaDiscovery, resolveAddresses } from './replica-discovery.js';
import { type Replica, ReplicaSet } from './replica-set.js';

export interface BatchClientOptions {
  /** One for each replica, `host:port` or a gRPC target; `dns:///host:port` stands for all replicas behind that name, asked for every 5 s. */
  readonly addresses: readonly string[];
  /** Says which replicas there are instead, every `discoverMs` (default 5 s), beginning with `addresses`. */
  readonly discover?: Discover;
  readonly discoverMs?: number;
  readonly connect?: ConnectOptions;
  /** Calls in flight and batches waiting for their turn; default 4. */
  readonly inFlight?: number;
  /** Bytes of those; default 256 MiB. One batch may always be in flight. */
  readonly inFlightBytes?: number;
  /** Deadline of one attempt at a batch; default 60 s. */
  readonly attemptMs?: number;
  /** How long a batch is tried on all replicas before UNAVAILABLE; default 5 minutes. */
  readonly totalMs?: number;
  /** Told of every failed attempt that is tried again. */
  readonly onFailure?: (failure: BatchFailure) => void;
}

export interface BatchFailure {
  readonly address: string;
  readonly epoch: number;
  readonly index: number;
  readonly error: unknown;
}

export interface BatchesRequest {
  readonly plan: PlanMessage;
  /** projects/{project}; default projects/default. */
  readonly parent?: string;
  /** Default UINT8. */
  readonly format?: PixelFormat;
  /** First batch; default the first of epoch 0. */
  readonly from?: { readonly epoch: number; readonly index: number };
  /** The last epoch is epochs − 1; default: without end. */
  readonly epochs?: number;
  /** Batches taken of each epoch where trailing ones are skipped; default all of them. */
  readonly batchesPerEpoch?: number;
  readonly signal: AbortSignal;
}

export class BatchClient {
  readonly #replicas: ReplicaSet;
  readonly #discovery: ReplicaDiscovery | undefined;
  /** One share of a service, however many connections lead there. */
  readonly #name = randomUUID();

  constructor(private readonly options: BatchClientOptions) {
    this.#replicas = new ReplicaSet(options.addresses, options.connect);
    const { addresses, discoverMs } = options;
    const discover = options.discover ?? (addresses.some(isDiscovered) ? () => resolveAddresses(addresses) : undefined);
    if (discover) this.#discovery = new ReplicaDiscovery(discover, (found) => this.#replicas.update(found), discoverMs);
  }

  /**
   * In order of epoch and index. Leaving the loop, or `return` while a batch is awaited, ends the calls in flight.
   * @throws InvalidArgument, Unavailable, Cancelled, …
   */
  batches(request: BatchesRequest): AsyncGenerator<Batch, void, void> {
    const leaving = new AbortController();
    const batches = this.#read(request, leaving);
    const end = batches.return.bind(batches);
    // A generator's own return waits for the batch that is awaited, which may be minutes where no replica answers.
    batches.return = (value) => {
      leaving.abort(new Cancelled('reading of batches'));
      return end(value);
    };
    return batches;
  }

  async *#read(request: BatchesRequest, leaving: AbortController): AsyncGenerator<Batch, void, void> {
    const { epochs = Number.POSITIVE_INFINITY, from = { epoch: 0, index: 0 } } = request;
    const plan = { ...request.plan, pixelSemantics: PIXEL_SEMANTICS_VERSION };
    const resolved = resolvePlan(plan);
    const expected: Expected = {
      planDigest: planDigest(resolved, PIXEL_SEMANTICS_VERSION),
      inputSize: resolved.transform.inputSize,
      batchSize: resolved.batchSize,
    };
    const format = request.format ?? PixelFormat.UINT8;
    const call = {
      parent: request.parent ?? 'projects/default',
      plan,
      format,
      planDigest: expected.planDigest,
      readAhead: 0,
      client: this.#name,
    };
    // Targets of finished formats come on top of it; their size is known with the first batch only.
    const bytes = payloadBytes(format, resolved.batchSize, expected.inputSize, 0);
    const window = Math.max(1, Math.min(this.options.inFlight ?? 4, Math.floor((this.options.inFlightBytes ?? 256 << 20) / bytes)));
    const pool = new PayloadPool(window + 1);
    const signal = AbortSignal.any([leaving.signal, request.signal]);

    let perEpoch = request.batchesPerEpoch;
    let next = perEpoch !== undefined && from.index >= perEpoch ? { epoch: from.epoch + 1, index: 0 } : from;
    if (next.epoch >= epochs) return;
    const pending: Promise<Batch>[] = [];
    const ask = (): void => {
      const { epoch, index } = next;
      const batch = this.#fetch({ ...call, epoch, index }, expected, pool, signal);
      // Awaited in order below; until then a failure must not count as unhandled.
      batch.catch(() => {});
      pending.push(batch);
      // Until the first header has come the length of an epoch may be unknown: then nothing is asked for beyond that batch.
      if (perEpoch !== undefined) next = following(next, perEpoch);
    };
    try {
      if (perEpoch === undefined) {
        ask();
        const first = await (pending.shift() as Promise<Batch>);
        perEpoch = first.header.batchesPerEpoch;
        next = following(next, perEpoch);
        while (pending.length < window - 1 && next.epoch < epochs) ask();
        yield first;
      }
      for (;;) {
        while (pending.length < window && next.epoch < epochs) ask();
        const batch = pending.shift();
        if (!batch) return;
        yield await batch;
      }
    } finally {
      leaving.abort(new Cancelled('reading of batches'));
      await Promise.allSettled(pending);
    }
  }

  /** What a data set holds, from the first replica that answers. */
  async describe(manifest: string, signal: AbortSignal): Promise<DescribeDatasetResponse> {
    return await this.#tryAll('description of the data set', signal, (replica, options) =>
      replica.client.describeDataset({ dataset: { manifest } }, options),
    );
  }

  /** Ends the connections; to be called when no iteration is left. */
  close(): void {
    this.#discovery?.close();
    this.#replicas.close();
  }

  async #fetch(request: GetBatchRequest, expected: Expected, pool: PayloadPool, signal: AbortSignal): Promise<Batch> {
    const { epoch, index } = request;
    const onFailure = (replica: Replica, error: unknown) => this.options.onFailure?.({ address: replica.address, epoch, index, error });
    const { header, payload } = await this.#tryAll(
      `batch ${index} of epoch ${epoch}`,
      signal,
      (replica, options) => fetchBatch(replica, request, expected, pool, options),
      onFailure,
    );
    let released = false;
    const release = (): void => {
      if (!released) pool.give(payload);
      released = true;
    };
    return { epoch, index, header, payload, release };
  }

  /** Until a replica succeeds, every one has refused for good, or the total time is over. */
  async #tryAll<T>(
    what: string,
    signal: AbortSignal,
    attempt: (replica: Replica, options: { timeoutMs: number; signal: AbortSignal }) => Promise<T>,
    onFailure: (replica: Replica, error: unknown) => void = () => {},
  ): Promise<T> {
    const end = performance.now() + (this.options.totalMs ?? 300_000);
    const refused = new Set<string>();
    let last: unknown;
    for (;;) {
      if (signal.aborted) throw new Cancelled(what, { cause: signal.reason });
      const choice = this.#replicas.choose(refused);
      if (!choice) throw last;
      const { replica, waitMs } = choice;
      const left = end - performance.now();
      if (left <= waitMs) throw new Unavailable(`${what} from ${this.#replicas.addresses.join(', ')}`, 1000, { cause: last });
      if (waitMs > 0) {
        await wait(waitMs, signal).catch((cause) => {
          throw new Cancelled(what, { cause });
        });
        continue;
      }
      this.#replicas.begin(replica);
      try {
        const result = await attempt(replica, { timeoutMs: Math.min(left, this.options.attemptMs ?? 60_000), signal });
        this.#replicas.succeeded(replica);
        return result;
      } catch (error) {
        if (signal.aborted) {
          this.#replicas.ended(replica);
          throw error;
        }
        last = error;
        const verdict = judge(error);
        if (verdict === 'final') {
          this.#replicas.ended(replica);
          throw error;
        }
        if (verdict === 'refused') {
          this.#replicas.ended(replica);
          refused.add(replica.address);
        } else {
          this.#replicas.failed(replica, error instanceof Unavailable ? error.retryAfterMs : 0);
          // It may be gone for good, and another one there.
          void this.#discovery?.look();
        }
        onFailure(replica, error);
      }
    }
  }
}

/**
 * `failed`: the replica may be better in a while. `refused`: this replica will not do it (no manifest, other semantics, a damaged disk),
 * another one may. `final`: nobody will.
 */
function judge(error: unknown): 'failed' | 'refused' | 'final' {
  if (error instanceof FailedPrecondition || error instanceof PermissionDenied || error instanceof DataLoss) return 'refused';
  // Not our signal, so the server or the connection ended the call.
  if (error instanceof Cancelled) return 'failed';
  if (
    error instanceof Unavailable ||
    error instanceof DeadlineExceeded ||
    error instanceof ResourceExhausted ||
    error instanceof DamagedBatch
  )
    return 'failed';
  // INTERNAL, UNKNOWN, UNIMPLEMENTED (an older replica), UNAUTHENTICATED: this replica is not right.
  return error instanceof RemoteError ? 'failed' : 'final';
}

function following({ epoch, index }: { epoch: number; index: number }, perEpoch: number): { epoch: number; index: number } {
  return index + 1 < perEpoch ? { epoch, index: index + 1 } : { epoch: epoch + 1, index: 0 };
}
