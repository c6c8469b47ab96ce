/** A thread that encodes finished images as PNG files, one after another. Whoever starts it closes it. */
import type { Worker } from 'node:worker_threads';
import { orAborted } from '#bounds/or-aborted.js';
import { startWorker } from '#native/start-worker.js';

export interface FinishedImage {
  /** Normalised values, [3, size, size]. */
  readonly values: Float32Array;
  readonly size: number;
  /** For each channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export class PngThread {
  readonly #worker: Worker;

  constructor() {
    this.#worker = startWorker(new URL('./png-worker.js', import.meta.url));
    // Each call listens while it waits; an error at another time has nobody to tell.
    this.#worker.on('error', () => {});
  }

  /** One call at a time. The values are copied. @throws the thread's error; the signal's reason */
  async encode(image: FinishedImage, signal: AbortSignal): Promise<Buffer> {
    const worker = this.#worker;
    const values = image.values.slice();
    const ending = new AbortController();
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      const ended = (): void => reject(new Error('the thread that encodes PNG files has ended'));
      worker.once('message', resolve).once('error', reject).once('exit', ended);
      ending.signal.addEventListener('abort', () => worker.off('message', resolve).off('error', reject).off('exit', ended));
      worker.postMessage({ ...image, values }, [values.buffer]);
    });
    try {
      const png = await orAborted(answer, signal);
      return Buffer.from(png.buffer, png.byteOffset, png.byteLength);
    } finally {
      ending.abort();
    }
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
