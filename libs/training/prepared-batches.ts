/**
 * Batches of a plan as a program takes them, prepared beside the engine: while one step runs, the next one's pixels are fetched, normalised,
 * erased and mixed into buffers that are used again and again.
 */
import { type Batch, finishPlanOf } from '#data/client/batch.js';
import { BatchClient, type BatchClientOptions, type BatchesRequest } from '#data/client/batch-client.js';
import { softTargets } from '#data/plan/augment/mix-plan.js';
import { finishBatch } from '#native/pixels.js';
import type { BatchHeader, ReplacedSample } from '#protocol/dropstream/v1/data.js';

export interface PreparedBatch {
  readonly samples: number;
  /** [samples, 3, size, size] */
  readonly images: Float32Array;
  /** Soft targets [samples, classes]. */
  readonly targets: Float32Array;
  /** Class of every sample, unmixed. */
  readonly labels: Uint32Array;
  /** Of the payload that the images were made from. */
  readonly sha256: Uint8Array;
  /** Samples that could not be decoded. */
  readonly replaced: readonly ReplacedSample[];
  /** Hands the buffers back; they must not be used afterwards. */
  release(): void;
}

/** How a worker reaches the data service: what its options say, for every piece of its work. */
export type DataAccess = Pick<BatchClientOptions, 'addresses' | 'inFlight' | 'inFlightBytes' | 'totalMs'>;

export interface PreparedBatchesOptions {
  readonly data: DataAccess & Pick<BatchClientOptions, 'onFailure'>;
  readonly request: BatchesRequest;
  /** Width of the targets: at least the classes of the data set. */
  readonly classes: number;
  /** Batches prepared and not yet handed back, at least as many as one step takes. */
  readonly buffers: number;
}

interface ImageBuffer {
  images: Float32Array;
}

export class PreparedBatches {
  readonly #client: BatchClient;
  readonly #reading = new AbortController();
  readonly #batches: AsyncGenerator<Batch, void, void>;
  readonly #classes: number;
  readonly #ready: PreparedBatch[] = [];
  readonly #free: ImageBuffer[];
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  #wake: (() => void)[] = [];
  readonly #filling: Promise<void>;

  /** Begins to fetch at once; whoever opens it closes it. */
  constructor({ data, request, classes, buffers }: PreparedBatchesOptions) {
    this.#client = new BatchClient(data);
    this.#batches = this.#client.batches({ ...request, signal: AbortSignal.any([this.#reading.signal, request.signal]) });
    this.#classes = classes;
    this.#free = Array.from({ length: buffers }, () => ({ images: new Float32Array(0) }));
    this.#filling = this.#fill();
  }

  /** The next one, in the order of the plan; undefined after the last one. @throws what reading or finishing threw; the signal's reason */
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

  /** Ends the reading, a fetch that is waited for too. Buffers in use may still be read. */
  async close(): Promise<void> {
    this.#reading.abort(new Error('the batches are no longer read'));
    this.#notify();
    await this.#batches.return().catch(() => {});
    await this.#filling;
    this.#client.close();
  }

  async #fill(): Promise<void> {
    try {
      for (;;) {
        const buffer = await this.#buffer();
        if (buffer === undefined) return;
        const { value: batch, done } = await this.#batches.next();
        if (done || batch === undefined) break;
        const prepared = await this.#prepare(batch, buffer);
        this.#ready.push(prepared);
        this.#notify();
      }
      this.#ended = true;
    } catch (error) {
      this.#failure = { error };
    }
    this.#notify();
  }

  async #prepare(batch: Batch, buffer: ImageBuffer): Promise<PreparedBatch> {
    const { header, payload } = batch;
    const samples = header.samples.length;
    const floats = samples * header.channels * header.size * header.size;
    if (buffer.images.length < floats) buffer.images = new Float32Array(floats);
    const images = buffer.images.subarray(0, floats);
    try {
      await finishBatch(payload, samples, header.size, finishPlanOf(header), images);
    } finally {
      batch.release();
    }
    let released = false;
    return {
      samples,
      images,
      targets: targetsOf(header, this.#classes),
      labels: Uint32Array.from(header.samples, ({ label }) => label),
      sha256: header.payloadSha256,
      replaced: header.replaced,
      release: () => {
        if (released) return;
        released = true;
        this.#free.push(buffer);
        this.#notify();
      },
    };
  }

  /** A buffer that nobody uses; undefined once closed. */
  async #buffer(): Promise<ImageBuffer | undefined> {
    for (;;) {
      if (this.#reading.signal.aborted) return undefined;
      const buffer = this.#free.pop();
      if (buffer !== undefined) return buffer;
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

/** Soft targets over `classes`, which may be more than the data set's. */
function targetsOf(header: BatchHeader, classes: number): Float32Array {
  const labels = header.samples.map(({ label }) => label);
  const mix = header.samples.map(({ mix: step }) => (step ? { lambda: step.lambda, partner: step.partner, box: null } : null));
  return softTargets(labels, mix, classes, header.smoothing);
}
