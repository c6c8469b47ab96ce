/**
 * Prepares the batches of a plan for a program while the engine works: during one step, the next step's pixels are fetched, and then finished or sent
 * to the program's device.
 */
import { type Batch, finishPlanOf } from '#data/client/batch.js';
import { BatchClient, type BatchClientOptions, type BatchesRequest } from '#data/client/batch-client.js';
import { softTargets } from '#data/plan/augment/mix-plan.js';
import type { ImagePreparation, PreparedImages } from '#engine/index.js';
import type { BatchHeader, ReplacedSample } from '#protocol/dropstream/v1/data.js';

export interface PreparedBatch {
  readonly samples: number;
  /** [samples, 3, size, size] */
  readonly images: PreparedImages['images'];
  /** Soft targets [samples, classes]. */
  readonly targets: Float32Array;
  /** Class of every sample, before mixing. */
  readonly labels: Uint32Array;
  /** SHA-256 of the payload from which the images were made. */
  readonly sha256: Uint8Array;
  /** Samples that could not be decoded. */
  readonly replaced: readonly ReplacedSample[];
  /** The span of its fetching, if that was recorded. */
  readonly span?: Batch['span'];
  /** Returns the memory of the images for reuse; the batch must not be used afterwards. */
  release(): void;
}

/** How a worker connects to the data service: the options that all its reads share. */
export type DataAccess = Pick<BatchClientOptions, 'addresses' | 'connect' | 'inFlight' | 'inFlightBytes' | 'totalMs'>;

export interface PreparedBatchesOptions {
  readonly data: DataAccess & Pick<BatchClientOptions, 'onFailure'>;
  readonly request: BatchesRequest;
  /** The program that takes the batches. */
  readonly program: ImagePreparation;
  /** Width of the targets; at least the number of classes of the data set. */
  readonly classes: number;
  /** Number of batches that may be prepared or in use at the same time; at least as many as one step takes. */
  readonly buffers: number;
}

export class PreparedBatches {
  readonly #client: BatchClient;
  readonly #reading = new AbortController();
  readonly #batches: AsyncGenerator<Batch, void, void>;
  readonly #program: ImagePreparation;
  readonly #classes: number;
  readonly #ready: PreparedBatch[] = [];
  /** Number of batches that may still be prepared before one is released. */
  #free: number;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  #wake: (() => void)[] = [];
  readonly #filling: Promise<void>;

  /** Begins to fetch at once. The owner closes it. */
  constructor({ data, request, program, classes, buffers }: PreparedBatchesOptions) {
    this.#client = new BatchClient(data);
    this.#batches = this.#client.batches({ ...request, signal: AbortSignal.any([this.#reading.signal, request.signal]) });
    this.#program = program;
    this.#classes = classes;
    this.#free = buffers;
    this.#filling = this.#fill();
  }

  /** The next batch in the order of the plan; undefined after the last one. @throws any error of reading or finishing; the signal's reason */
  async next(signal: AbortSignal): Promise<PreparedBatch | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const prepared = this.#ready.shift();
      if (prepared !== undefined) return prepared;
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#ended) return undefined;
      await this.#change(signal);
    }
  }

  /** Ends the reading, including a pending fetch, and releases what nobody has taken. Batches in use stay. */
  async close(): Promise<void> {
    this.#reading.abort(new Error('the batches are no longer read'));
    this.#notify();
    await this.#batches.return().catch(() => {});
    await this.#filling;
    for (const batch of this.#ready.splice(0)) batch.release();
    this.#client.close();
  }

  async #fill(): Promise<void> {
    try {
      for (;;) {
        if (!(await this.#take())) return;
        const { value: batch, done } = await this.#batches.next();
        if (done || batch === undefined) break;
        this.#ready.push(await this.#prepare(batch));
        this.#notify();
      }
      this.#ended = true;
    } catch (error) {
      this.#failure = { error };
    }
    this.#notify();
  }

  async #prepare(batch: Batch): Promise<PreparedBatch> {
    const { header, payload } = batch;
    let prepared: PreparedImages;
    try {
      prepared = await this.#program.prepareImages({ pixels: payload, size: header.size, plan: finishPlanOf(header) });
    } finally {
      batch.release();
    }
    let released = false;
    return {
      samples: header.samples.length,
      images: prepared.images,
      targets: targetsOf(header, this.#classes),
      labels: Uint32Array.from(header.samples, ({ label }) => label),
      sha256: header.payloadSha256,
      replaced: header.replaced,
      span: batch.span,
      release: () => {
        if (released) return;
        released = true;
        prepared.release();
        this.#free++;
        this.#notify();
      },
    };
  }

  /** Waits until another batch may be prepared; false if closed. */
  async #take(): Promise<boolean> {
    for (;;) {
      if (this.#reading.signal.aborted) return false;
      if (this.#free > 0) {
        this.#free--;
        return true;
      }
      await this.#change();
    }
  }

  #change(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        signal?.removeEventListener('abort', settle);
        resolve();
      };
      this.#wake.push(settle);
      signal?.addEventListener('abort', settle, { once: true });
    });
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}

/** Soft targets for `classes` classes, which may be more than those of the data set. */
function targetsOf(header: BatchHeader, classes: number): Float32Array {
  const labels = header.samples.map(({ label }) => label);
  const mix = header.samples.map(({ mix: step }) => (step ? { lambda: step.lambda, partner: step.partner, box: null } : null));
  return softTargets(labels, mix, classes, header.smoothing);
}
