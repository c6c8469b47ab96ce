/** A store whose operations are counted and timed, and which knows whether it was answered. */
import { setMaxListeners } from 'node:events';
import type { StoreMetrics, StoreOperation, StoreOutcome } from '#telemetry/store-metrics.js';
import {
  type Bytes,
  type GetOptions,
  type ListOptions,
  type ListPage,
  ObjectExists,
  type ObjectInfo,
  ObjectNotFound,
  type ObjectStore,
  PreconditionFailed,
  type PutOptions,
  type SignalOption,
  StoreFull,
  StoreUnavailable,
} from './object-store.js';

export class MeasuredStore implements ObjectStore {
  /** Milliseconds of performance.now() of the newest answer. */
  #answeredAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly inner: ObjectStore,
    private readonly metrics: StoreMetrics,
  ) {}

  get uri(): string {
    return this.inner.uri;
  }

  get maxListed(): number | undefined {
    return this.inner.maxListed;
  }

  put(key: string, bytes: Bytes, options: PutOptions = {}): Promise<{ etag: string }> {
    return this.#measure('put', options.signal, () => this.inner.put(key, bytes, options));
  }

  replace(key: string, bytes: Bytes, options: { ifMatch: string } & SignalOption): Promise<{ etag: string }> {
    return this.#measure('replace', options.signal, () => this.inner.replace(key, bytes, options));
  }

  get(key: string, options: GetOptions = {}): Promise<{ bytes: Buffer; etag: string }> {
    return this.#measure('get', options.signal, () => this.inner.get(key, options));
  }

  getRange(key: string, offset: number, length: number, options: SignalOption = {}): Promise<Buffer> {
    return this.#measure('get_range', options.signal, () => this.inner.getRange(key, offset, length, options));
  }

  head(key: string, options: SignalOption = {}): Promise<ObjectInfo> {
    return this.#measure('head', options.signal, () => this.inner.head(key, options));
  }

  list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    return this.#measure('list', options.signal, () => this.inner.list(prefix, options));
  }

  delete(key: string, options: SignalOption = {}): Promise<void> {
    return this.#measure('delete', options.signal, () => this.inner.delete(key, options));
  }

  presignGet(key: string, expirySeconds: number): Promise<string | undefined> {
    return this.inner.presignGet(key, expirySeconds);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  async #measure<T>(operation: StoreOperation, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    let over = false;
    const end = (outcome: StoreOutcome): void => {
      if (over) return;
      over = true;
      signal?.removeEventListener('abort', onAbort);
      this.metrics.ended(operation, outcome, (performance.now() - begun) / 1000);
      if (outcome === 'cancelled') return;
      // What began before the store was back and ends later says nothing about it now.
      if (outcome !== 'unavailable') this.#answeredAt = performance.now();
      else if (this.#answeredAt > begun) return;
      this.metrics.away(outcome === 'unavailable');
    };
    // Calls of a hanging file system never end. What is known about them is why nobody waits any more.
    const onAbort = (): void => end(signal?.reason instanceof StoreUnavailable ? outcomeOf(signal.reason) : 'cancelled');
    if (signal) {
      // Many operations may go on under one signal; each takes its listener away at its end.
      setMaxListeners(0, signal);
      signal.addEventListener('abort', onAbort, { once: true });
    }
    try {
      const value = await work();
      end('ok');
      return value;
    } catch (error) {
      end(signal?.aborted ? 'cancelled' : outcomeOf(error));
      throw error;
    }
  }
}

function outcomeOf(error: unknown): StoreOutcome {
  if (error instanceof ObjectNotFound) return 'absent';
  if (error instanceof ObjectExists || error instanceof PreconditionFailed) return 'exists';
  if (error instanceof StoreFull) return 'full';
  return error instanceof StoreUnavailable ? 'unavailable' : 'refused';
}
