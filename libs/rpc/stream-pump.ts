/** Writes what a handler yields, no more than a few messages ahead of the transport (whose own mark is 16 of any size). */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { orAborted } from '#bounds/or-aborted.js';

export class StreamPump {
  /** Written and not yet handed to the socket. */
  #pending = 0;
  #wake: (() => void) | undefined;

  constructor(
    private readonly call: ServerWritableStream<unknown, unknown>,
    private readonly signal: AbortSignal,
    /** Messages ahead at most. */
    private readonly window: number,
  ) {}

  /** Until the source ends. @throws its error, or the signal's reason */
  async run(source: AsyncIterable<unknown>): Promise<void> {
    const iterator = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await orAborted(iterator.next(), this.signal);
        if (next.done) return;
        this.#pending++;
        this.call.write(next.value, () => {
          this.#pending--;
          this.#wake?.();
        });
        await this.#until(this.window - 1);
      }
    } catch (error) {
      // Not awaited: a generator that ignores its signal would hold the answer back.
      iterator.return?.().then(undefined, () => {});
      throw error;
    }
  }

  /** Resolves when nothing is pending; for the source, between two messages. */
  async flushed(): Promise<void> {
    await this.#until(0);
  }

  /** Until at most that many messages are pending. Only one waits at a time: the source while it is asked for its next message, or run. */
  async #until(most: number): Promise<void> {
    while (this.#pending > most) {
      await orAborted(
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
        this.signal,
      );
    }
  }
}
