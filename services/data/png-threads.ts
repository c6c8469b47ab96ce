/**
 * Threads that encode finished images as PNG files: few for all calls, started when they are needed, and ended when they are idle, since a thread takes
 * longer to start than an image to encode. Whoever makes them closes them.
 */
import type { Worker } from 'node:worker_threads';
import { Limiter } from '#bounds/limiter.js';
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

const THREADS = 2;
const IDLE_MS = 5_000;

export class PngThreads {
  readonly #turns = new Limiter(THREADS);
  /** Those that wait for an image, with the timers that end them. */
  readonly #idle = new Map<Worker, NodeJS.Timeout>();
  readonly #all = new Set<Worker>();

  /** The values are copied. @throws the thread's error; the signal's reason */
  async encode(image: FinishedImage, signal: AbortSignal): Promise<Buffer> {
    const encoding = this.#turns.run(async () => {
      signal.throwIfAborted();
      const worker = this.#take();
      try {
        const png = await answerOf(worker, image);
        this.#giveBack(worker);
        return Buffer.from(png.buffer, png.byteOffset, png.byteLength);
      } catch (error) {
        await worker.terminate();
        throw error;
      }
    });
    // An image that was begun is encoded to its end, although its caller has left: ending the thread would cost the next caller more.
    return await orAborted(encoding, signal);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }

  #take(): Worker {
    for (const [worker, timer] of this.#idle) {
      clearTimeout(timer);
      this.#idle.delete(worker);
      worker.ref();
      return worker;
    }
    const worker = startWorker(new URL('./png-worker.js', import.meta.url));
    this.#all.add(worker);
    // Each image listens while it is encoded; an error at another time has nobody to tell.
    worker.on('error', () => {});
    worker.once('exit', () => {
      clearTimeout(this.#idle.get(worker));
      this.#idle.delete(worker);
      this.#all.delete(worker);
    });
    return worker;
  }

  #giveBack(worker: Worker): void {
    if (!this.#all.has(worker)) return;
    worker.unref();
    this.#idle.set(worker, setTimeout(() => void worker.terminate(), IDLE_MS).unref());
  }
}

function answerOf(worker: Worker, image: FinishedImage): Promise<Uint8Array> {
  const values = image.values.slice();
  const ending = new AbortController();
  return new Promise<Uint8Array>((resolve, reject) => {
    const ended = (): void => reject(new Error('the thread that encodes PNG files has ended'));
    worker.once('message', resolve).once('error', reject).once('exit', ended);
    ending.signal.addEventListener('abort', () => worker.off('message', resolve).off('error', reject).off('exit', ended));
    worker.postMessage({ ...image, values }, [values.buffer]);
  }).finally(() => ending.abort());
}
