/** Writes what a handler yields, at most a few messages ahead of the transport (whose own limit is 16 messages of any size). */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { orAborted } from '#bounds/or-aborted.js';
import { ResourceExhausted } from '#errors/errors.js';
import type { Outgoing } from './handlers.js';

export interface PumpOptions {
  /** Ends the stream with its reason. */
  readonly signal: AbortSignal;
  /** Largest number of messages ahead of the transport. */
  readonly window: number;
  /** Milliseconds for which the transport may take nothing while messages wait; undefined: any time. */
  readonly progressMs: number | undefined;
  /** Names the stream in errors. */
  readonly method: string;
}

export class StreamPump implements Outgoing {
  /** Messages that were written, but not yet passed to the socket. */
  #pending = 0;
  #taken = 0;
  /** Time of performance.now() since when the pending messages have waited without one being taken. */
  #since = performance.now();
  #stopped: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(
    private readonly call: ServerWritableStream<unknown, unknown>,
    private readonly options: PumpOptions,
  ) {}

  get taken(): number {
    return this.#taken;
  }

  get idleMs(): number {
    return this.#pending === 0 ? 0 : performance.now() - this.#since;
  }

  stop(error: Error): void {
    this.#stopped ??= { error };
    this.#wake?.();
  }

  /** Runs until the source ends. @throws the source's error, the signal's reason, that of `stop`, ResourceExhausted if nothing is taken */
  async run(source: AsyncIterable<unknown>): Promise<void> {
    const iterator = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await orAborted(iterator.next(), this.options.signal);
        if (next.done) return;
        this.#write(next.value);
        await this.#until(this.options.window - 1);
      }
    } catch (error) {
      // Not awaited: a generator that ignores its signal would delay the response.
      iterator.return?.().then(undefined, () => {});
      throw error;
    }
  }

  async flushed(): Promise<void> {
    await this.#until(0);
  }

  #write(message: unknown): void {
    if (this.#pending++ === 0) this.#since = performance.now();
    this.call.write(message, () => {
      this.#pending--;
      this.#taken++;
      this.#since = performance.now();
      this.#wake?.();
    });
  }

  /** Resolves when at most that many messages are pending. Only one caller waits at a time: the source while it makes its next message, or `run`. */
  async #until(most: number): Promise<void> {
    const { signal, progressMs, method } = this.options;
    let timer: NodeJS.Timeout | undefined;
    try {
      while (this.#pending > most) {
        if (this.#stopped) throw this.#stopped.error;
        const leftMs = progressMs === undefined ? undefined : progressMs - this.idleMs;
        if (leftMs !== undefined && leftMs <= 0)
          throw new ResourceExhausted(`the wait for the reader of ${method}`, `${progressMs} ms without a byte taken`, {
            retryAfterMs: 1000,
          });
        const woken = new Promise<void>((resolve) => {
          this.#wake = resolve;
          if (leftMs !== undefined) timer = setTimeout(resolve, Math.ceil(leftMs));
        });
        await orAborted(woken, signal);
        clearTimeout(timer);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
