/**
 * Batches of a plan, in order, from any number of replicas of the data service. Several calls are in flight at a time, within a byte budget. A batch
 * is requested from another replica when one fails. Every payload is checked against its SHA-256, and every header against the plan's digest.
 *
 *     const client = new BatchClient({ addresses: ['127.0.0.1:7011', '127.0.0.1:7021'] });
 *     for await (const batch of client.batches({ plan, from: { epoch: 0, index: 0 }, epochs: 5, signal })) { …; batch.release(); }
 *     client.close();
 */
import { randomUUID } from 'node:crypto';
import { quietly } from '#bounds/quietly.js';
import {
  Cancelled,
  DataLoss,
  DeadlineExceeded,
  FailedPrecondition,
  NeverFits,
  NotFound,
  PermissionDenied,
  RemoteError,
  ResourceExhausted,
  Unavailable,
} from '#errors/errors.js';
import { PIXEL_SEMANTICS_VERSION } from '#native/pixels.js';
import {
  type DescribeDatasetResponse,
  type GetBatchRequest,
  PixelFormat,
  type Plan as PlanMessage,
  type PreviewBatchRequest,
  type PreviewBatchResponse,
} from '#protocol/dropstream/v1/data.js';
import type { ConnectOptions } from '#rpc/client.js';
import { wait } from '#rpc/retry.js';
import { inSpan } from '#telemetry/spans.js';
import { runWithSpan, type SpanContext } from '#telemetry/tracing.js';
import { resolvePlan } from '../plan/plan.js';
import { planDigest } from '../plan/plan-digest.js';
import { type Batch, payloadBytes } from './batch.js';
import { DamagedBatch, type Expected, fetchBatch } from './fetch-batch.js';
import { PayloadPool } from './payload-pool.js';
import { certifiedByName, type Discover, isDiscovered, ReplicaDiscovery, resolveAddresses } from './replica-discovery.js';
import { type Replica, ReplicaSet } from './replica-set.js';

export interface BatchClientOptions {
  /**
   * One address for each replica, `host:port` or a gRPC target. `dns:///host:port` stands for all replicas behind that name; it is resolved again
   * every 5 s.
   */
  readonly addresses: readonly string[];
  /** Returns the current replicas, and is called every `discoverMs` (default 5 s). Replaces DNS; `addresses` is used until the first answer. */
  readonly discover?: Discover;
  readonly discoverMs?: number;
  readonly connect?: ConnectOptions;
  /** Number of calls in flight plus batches that wait for their turn; default 4. */
  readonly inFlight?: number;
  /** Bytes that the calls and batches of `inFlight` may hold; default 256 MiB. One batch may always be in flight. */
  readonly inFlightBytes?: number;
  /** Deadline of one attempt at a batch; default 60 s. */
  readonly attemptMs?: number;
  /** How long a batch is requested from all replicas before the client throws Unavailable; default 5 minutes. */
  readonly totalMs?: number;
  /** Called for every failed attempt that is tried again. */
  readonly onFailure?: (failure: BatchFailure) => void;
}

export interface BatchFailure {
  readonly address: string;
  readonly epoch: number;
  readonly index: number;
  readonly error: unknown;
}

/** A batch of a plan. */
export interface Position {
  readonly epoch: number;
  /** Number of the batch within the epoch. */
  readonly index: number;
}

export interface BatchesRequest {
  readonly plan: PlanMessage;
  /** projects/{project}; the default is projects/default. */
  readonly parent?: string;
  /** Default UINT8. */
  readonly format?: PixelFormat;
  /** First batch; the default is the first one of epoch 0. */
  readonly from?: Position;
  /** The last epoch is epochs − 1; the default is no end. */
  readonly epochs?: number;
  /** Batches taken of each epoch, when its last ones are to be skipped; the default is all of them. */
  readonly batchesPerEpoch?: number;
  /** Which batches are taken; the others are passed by. Only together with `batchesPerEpoch` and `epochs`. Default: all. */
  readonly only?: ((position: Position) => boolean) | undefined;
  /** Largest number of batches; default: no limit. */
  readonly most?: number | undefined;
  /** The span that the fetching of a batch belongs to; default: the active one. */
  readonly spanOf?: ((position: Position) => SpanContext | undefined) | undefined;
  readonly signal: AbortSignal;
}

export class BatchClient {
  readonly #replicas: ReplicaSet;
  readonly #discovery: ReplicaDiscovery | undefined;
  /** The service shares its capacity by this name, so all connections of this client count as one. */
  readonly #name = randomUUID();

  constructor(private readonly options: BatchClientOptions) {
    this.#replicas = new ReplicaSet(options.addresses, certifiedByName(options.addresses, options.connect));
    const { addresses, discoverMs } = options;
    const discover = options.discover ?? (addresses.some(isDiscovered) ? () => resolveAddresses(addresses) : undefined);
    if (discover) this.#discovery = new ReplicaDiscovery(discover, (found) => this.#replicas.update(found), discoverMs);
  }

  /**
   * Yields batches in order of epoch and index. Leaving the loop, or `return` while a batch is awaited, ends the calls in flight.
   * @throws InvalidArgument, Unavailable, Cancelled, …
   */
  batches(request: BatchesRequest): AsyncGenerator<Batch, void, void> {
    const leaving = new AbortController();
    const batches = this.#read(request, leaving);
    const end = batches.return.bind(batches);
    // A generator's own `return` would wait for the pending batch, which may take minutes when no replica answers.
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
    // The targets of finished formats need more bytes; their size is only known once the first batch has arrived.
    const bytes = payloadBytes(format, resolved.batchSize, expected.inputSize, 0);
    const window = Math.max(1, Math.min(this.options.inFlight ?? 4, Math.floor((this.options.inFlightBytes ?? 256 << 20) / bytes)));
    const pool = new PayloadPool(window + 1);
    const signal = AbortSignal.any([leaving.signal, request.signal]);

    let perEpoch = request.batchesPerEpoch;
    let next = perEpoch !== undefined && from.index >= perEpoch ? { epoch: from.epoch + 1, index: 0 } : from;
    const { only, most = Number.POSITIVE_INFINITY } = request;
    if (only !== undefined && (perEpoch === undefined || epochs === Number.POSITIVE_INFINITY))
      throw new TypeError('only: needs batchesPerEpoch and epochs');
    let asked = 0;
    const isLeft = (): boolean => asked < most && next.epoch < epochs;
    const passBy = (): void => {
      while (only !== undefined && isLeft() && !only(next)) next = following(next, perEpoch as number);
    };
    passBy();
    if (!isLeft()) return;
    const pending: Promise<Batch>[] = [];
    const ask = (): void => {
      const { epoch, index } = next;
      const fetch = () => this.#fetch({ ...call, epoch, index }, expected, pool, signal);
      const span = request.spanOf?.(next);
      pending.push(quietly(span === undefined ? fetch() : runWithSpan(span, fetch)));
      asked++;
      // The length of an epoch may be unknown until the first header arrives; until then, no later batch is requested.
      if (perEpoch !== undefined) next = following(next, perEpoch);
      passBy();
    };
    try {
      if (perEpoch === undefined) {
        ask();
        const first = await (pending.shift() as Promise<Batch>);
        perEpoch = first.header.batchesPerEpoch;
        next = following(next, perEpoch);
        while (pending.length < window - 1 && isLeft()) ask();
        yield first;
      }
      for (;;) {
        while (pending.length < window && isLeft()) ask();
        const batch = pending.shift();
        if (!batch) return;
        yield await batch;
      }
    } finally {
      leaving.abort(new Cancelled('reading of batches'));
      await Promise.allSettled(pending);
    }
  }

  /**
   * Describes a data set of a project, and the epochs of a plan; the first replica that answers is used.
   * @throws NeverFits if no replica can hold a UINT8 batch of the plan
   */
  async describe(manifest: string, signal: AbortSignal, plan?: PlanMessage, parent = 'projects/default'): Promise<DescribeDatasetResponse> {
    return await this.#tryAll('description of the data set', signal, (replica, options) =>
      replica.client.describeDataset({ parent, dataset: { manifest }, plan }, options),
    );
  }

  /** One page of images of a batch as PNG files; the first replica that answers is used. */
  async preview(request: Partial<PreviewBatchRequest>, signal: AbortSignal): Promise<PreviewBatchResponse> {
    return await this.#tryAll('preview of a batch', signal, (replica, options) => replica.client.previewBatch(request, options));
  }

  /** Closes the connections. Call it when no iteration is left. */
  close(): void {
    this.#discovery?.close();
    this.#replicas.close();
  }

  async #fetch(request: GetBatchRequest, expected: Expected, pool: PayloadPool, signal: AbortSignal): Promise<Batch> {
    const { epoch, index } = request;
    const onFailure = (replica: Replica, error: unknown) => this.options.onFailure?.({ address: replica.address, epoch, index, error });
    const attributes = { 'dropstream.epoch': epoch, 'dropstream.batch.index': index };
    const { header, payload, span } = await inSpan('fetch batch', { attributes }, async ({ context, recorded }) => {
      const fetched = await this.#tryAll(
        `batch ${index} of epoch ${epoch}`,
        signal,
        (replica, options) => fetchBatch(replica, request, expected, pool, options),
        onFailure,
      );
      return { ...fetched, span: recorded ? context : undefined };
    });
    let released = false;
    const release = (): void => {
      if (!released) pool.give(payload);
      released = true;
    };
    return { epoch, index, header, payload, span, release };
  }

  /** Tries replicas until one succeeds, all have refused, or the total time is over. */
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
          this.#replicas.failed(replica, retryAfterMs(error));
          // The replica may be gone for good, and another one may have replaced it.
          void this.#discovery?.look();
        }
        onFailure(replica, error);
      }
    }
  }
}

/**
 * `failed`: the replica may recover, so it is tried again later. `refused`: this replica cannot serve the batch (it lacks the manifest, has other
 * semantics, a damaged disk or too little memory), but another one may. `final`: no replica can.
 */
function judge(error: unknown): 'failed' | 'refused' | 'final' {
  const refusals = [NotFound, FailedPrecondition, PermissionDenied, DataLoss, NeverFits];
  if (refusals.some((type) => error instanceof type)) return 'refused';
  // Our signal has not fired, so the server or the connection ended the call.
  if (error instanceof Cancelled) return 'failed';
  if (
    error instanceof Unavailable ||
    error instanceof DeadlineExceeded ||
    error instanceof ResourceExhausted ||
    error instanceof DamagedBatch
  )
    return 'failed';
  // INTERNAL, UNKNOWN, UNIMPLEMENTED (an older replica), UNAUTHENTICATED: this replica cannot serve the call.
  return error instanceof RemoteError ? 'failed' : 'final';
}

function retryAfterMs(error: unknown): number {
  return error instanceof Unavailable || error instanceof ResourceExhausted ? (error.retryAfterMs ?? 0) : 0;
}

/** The batch after one, for epochs of `perEpoch` batches. */
export function following({ epoch, index }: Position, perEpoch: number): Position {
  return index + 1 < perEpoch ? { epoch, index: index + 1 } : { epoch: epoch + 1, index: 0 };
}
