/**
 * A channel that does not wait for ever for a peer which accepts connections but says nothing: a frozen process, a network that swallows. grpc-js sets no
 * limit to that, so that a call without a deadline would hang, and the address would stay unusable when the peer has been replaced. After a while
 * without a connection, the channel is closed and another one is opened; calls that wait for it end with UNAVAILABLE.
 */
import { type Client, connectivityState } from '@grpc/grpc-js';
import type { Channel } from './channel.js';

export interface LastingChannelOptions {
  readonly open: (again: boolean) => Channel;
  /** How long a connection may take in ms. */
  readonly connectMs: number;
}

export class LastingChannel {
  readonly #options: LastingChannelOptions;
  #channel: Channel;
  #watching = false;
  #closed = false;
  /** True if the last connection did not come about, and none has since. */
  #silent = false;

  /** The owner closes it. */
  constructor(options: LastingChannelOptions) {
    this.#options = options;
    this.#channel = options.open(false);
  }

  /** For the next call. */
  get client(): Client {
    const { client } = this.#channel;
    if (!this.#watching && !this.#closed && client.getChannel().getConnectivityState(false) !== connectivityState.READY) void this.#watch();
    return client;
  }

  readonly where = (): string =>
    this.#silent ? `${this.#channel.where()}, where no connection came about within ${this.#options.connectMs} ms` : this.#channel.where();

  close(): void {
    this.#closed = true;
    this.#channel.client.close();
  }

  /** Ends when there is a connection, or at the latest after `connectMs`; a later call begins it again. */
  async #watch(): Promise<void> {
    const { READY, SHUTDOWN, IDLE, CONNECTING } = connectivityState;
    const channel = this.#channel.client.getChannel();
    this.#watching = true;
    let late = false;
    let wake = (): void => {};
    const timer = setTimeout(() => {
      late = true;
      wake();
    }, this.#options.connectMs);
    // A process that has nothing else to do may end.
    timer.unref();
    for (;;) {
      const state = channel.getConnectivityState(false);
      if (state === READY) this.#silent = false;
      if (state === READY || state === SHUTDOWN) break;
      if (late) {
        // A channel that has failed before stays so while it connects, and would fail every call because of its last error.
        if (state !== IDLE) this.#reopen(state === CONNECTING);
        break;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => resolve());
      });
    }
    clearTimeout(timer);
    this.#watching = false;
  }

  #reopen(silent: boolean): void {
    const { client } = this.#channel;
    this.#silent = silent;
    this.#channel = this.#options.open(true);
    client.close();
  }
}
