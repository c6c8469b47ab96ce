/** Writes what a handler yields, at most a few messages ahead of the transport (whose own limit is 16 messages of any size). */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { orAborted } from '#bounds/or-aborted.js';

export class StreamPump {
  /** Messages that were written, but not yet passed to the socket. */
  #pending = 0;
  #wake: (() => void) | undefined;

  constructor(
    private readonly call: ServerWritableStream<unknown, unknown>,
    private readonly signal: AbortSignal,
    /** Largest number of messages ahead of the transport. */
    private readonly window: number,
  ) {}

  /** Runs until the source ends. @throws the source's error, or the signal's reason */
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
      // Not awaited: a generator that ignores its signal would delay the response.
      iterator.return?.().then(undefined, () => {});
      throw error;
    }
  }

  /** Resolves when nothing is pending. For the source, between two messages. */
  async flushed(): Promise<void> {
    await this.#until(0);
  }

  /** Resolves when at most that many messages are pending. Only one caller waits at a time: the source while it makes its next message, or `run`. */
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
