/** A stream of batches as typed arrays, whose position can be saved and continued. */

import { type Batch, payloadBytes } from '#data/client/batch.js';
import { type BatchClient, type BatchesRequest, following, type Position } from '#data/client/batch-client.js';
import { FailedPrecondition, Violations } from '#errors/errors.js';
import { type BatchHeader, PixelFormat } from '#protocol/dropstream/v1/data.js';

/** Formats of a batch by name, with the types of its images and its targets. */
export interface BatchArrays {
  /** Normalised, erased and mixed images; soft targets [samples, classes]. */
  readonly float32: { readonly images: Float32Array; readonly targets: Float32Array };
  /** The same images as bits of bfloat16. */
  readonly bfloat16: { readonly images: Uint16Array; readonly targets: Float32Array };
  /** Pixels before normalising, erasing and mixing, which the header describes; labels [samples]. */
  readonly uint8: { readonly images: Uint8Array; readonly targets: Int32Array };
}

export type BatchFormat = keyof BatchArrays;

const pixelFormats: Readonly<Record<BatchFormat, PixelFormat>> = {
  float32: PixelFormat.FLOAT32,
  bfloat16: PixelFormat.BFLOAT16,
  uint8: PixelFormat.UINT8,
};

/** One batch. `const { images, targets } = batch` is all that a loop needs. */
export type ClientBatch<F extends BatchFormat = 'float32'> = BatchArrays[F] & {
  readonly epoch: number;
  /** Number of the batch within its epoch. */
  readonly index: number;
  /** [samples, 3, size, size]: the shape of `images`, in row-major order. */
  readonly shape: readonly [samples: number, channels: number, height: number, width: number];
  readonly header: BatchHeader;
  /** Optional: returns the memory of images and targets for reuse by a later batch. They must not be used afterwards. */
  release(): void;
};

/**
 * The position of a stream of batches, and which plan it belongs to. JSON.stringify writes it, and the Python client reads the same text. A stream that
 * starts here goes on with the same bytes.
 */
export interface BatchesState extends Position {
  /** SHA-256 of the plan in canonical form; empty or absent: not checked. */
  readonly planDigest?: string;
}

/** Leaving the loop, `close`, the end and an error all stop its calls and close its connections. */
export class Batches<F extends BatchFormat = 'float32'> implements AsyncIterableIterator<ClientBatch<F>> {
  readonly #batches: AsyncGenerator<Batch, void, void>;
  #next: Position;
  #digest: string;

  /** Owns the client. */
  constructor(
    private readonly client: BatchClient,
    request: Omit<BatchesRequest, 'from' | 'format'>,
    private readonly format: F,
    private readonly start: BatchesState,
    private readonly onClose: () => void,
  ) {
    checkState(start);
    this.#next = { epoch: start.epoch, index: start.index };
    this.#digest = start.planDigest ?? '';
    this.#batches = client.batches({ ...request, from: this.#next, format: pixelFormats[format] });
  }

  /** The position after the batch that was handed out last. */
  state(): Required<BatchesState> {
    return { ...this.#next, planDigest: this.#digest };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<ClientBatch<F>, undefined>> {
    try {
      const { done, value: batch } = await this.#batches.next();
      if (done) {
        this.#end();
        return { done: true, value: undefined };
      }
      const { header } = batch;
      if (this.start.planDigest && header.planDigest !== this.start.planDigest)
        throw new FailedPrecondition('plan', this.start.planDigest, `the plan of this stream has the digest ${header.planDigest}`);
      this.#digest = header.planDigest;
      this.#next = following(batch, header.batchesPerEpoch);
      return { done: false, value: arraysOf(batch, this.format) };
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<ClientBatch<F>, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /** Cancels the calls in flight and waits for their end. A `next` that waits rejects with Cancelled. */
  async close(): Promise<void> {
    await this.#batches.return();
    this.#end();
  }

  #end(): void {
    this.client.close();
    this.onClose();
  }
}

function arraysOf<F extends BatchFormat>(batch: Batch, format: F): ClientBatch<F> {
  const { header, payload, epoch, index } = batch;
  const { size } = header;
  const slots = header.samples.length;
  const imageBytes = payloadBytes(pixelFormats[format], slots, size, 0);
  const rest = { epoch, index, header, shape: [slots, 3, size, size] as const, release: () => batch.release() };
  return { ...rest, ...typed(format, payload, imageBytes, header) } as unknown as ClientBatch<F>;
}

function typed(format: BatchFormat, payload: Uint8Array, imageBytes: number, header: BatchHeader): BatchArrays[BatchFormat] {
  const { buffer, byteOffset, byteLength } = payload;
  if (format === 'uint8') return { images: payload, targets: Int32Array.from(header.samples, ({ label }) => label) };
  const images =
    format === 'float32' ? new Float32Array(buffer, byteOffset, imageBytes / 4) : new Uint16Array(buffer, byteOffset, imageBytes / 2);
  // Images of bfloat16 may end between two float32 values, where no view can begin.
  const targets =
    imageBytes % 4 === 0
      ? new Float32Array(buffer, byteOffset + imageBytes, (byteLength - imageBytes) / 4)
      : new Float32Array(payload.slice(imageBytes).buffer);
  return { images, targets } as BatchArrays['float32'] | BatchArrays['bfloat16'];
}

function checkState({ epoch, index }: BatchesState): void {
  const violations = new Violations();
  for (const [field, value] of Object.entries({ epoch, index }))
    violations.check(
      Number.isInteger(value) && value >= 0 && value < 2 ** 32,
      `start.${field}`,
      value,
      'a whole number from 0 to 4294967295',
    );
  violations.throwIfAny();
}
