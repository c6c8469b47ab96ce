/**
 * A store whose every operation ends in bounded time, for callers that have somebody waiting. An operation that makes no progress fails with
 * StoreSilent. If nothing else was answered meanwhile either, the store counts as silent: then operations fail at once, except one from time to time
 * that finds out whether the store answers again. So callers that arrive while a store hangs do not each wait for their own deadline.
 */
import { orAborted } from '#bounds/or-aborted.js';
import {
  type Bytes,
  type GetOptions,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
  type SignalOption,
  StoreSilent,
  sizeOf,
} from '#storage/object-store.js';

export interface PromptStoreOptions {
  /** Longest time of an operation without progress in ms; a write also gets the time that its bytes take at 1 MiB/s. */
  readonly operationMs: number;
  /** Pause in ms before an operation may find out whether a silent store answers again. Default 1000. */
  readonly retryMs?: number;
}

/** The calls of a hanging file system cannot be ended, and each keeps a thread. With this many of them, no further call is made. */
const MAX_STUCK = 2;
const SLOWEST_BYTES_PER_MS = 1049;

export class PromptStore implements ObjectStore {
  /** Milliseconds of performance.now() of the newest answer. */
  #answeredAt = Number.NEGATIVE_INFINITY;
  /** When the next operation may try a silent store; undefined while the store answers. */
  #tryAt: number | undefined;
  /** Operations that have timed out and not ended. */
  #stuck = 0;

  constructor(
    private readonly inner: ObjectStore,
    private readonly options: PromptStoreOptions,
  ) {}

  get uri(): string {
    return this.inner.uri;
  }

  get maxListed(): number | undefined {
    return this.inner.maxListed;
  }

  put(key: string, bytes: Bytes, options: PutOptions = {}): Promise<{ etag: string }> {
    return this.#call(`put ${key}`, options.signal, sizeOf(bytes), (signal) => this.inner.put(key, bytes, { ...options, signal }));
  }

  replace(key: string, bytes: Bytes, options: { ifMatch: string } & SignalOption): Promise<{ etag: string }> {
    return this.#call(`replace ${key}`, options.signal, sizeOf(bytes), (signal) => this.inner.replace(key, bytes, { ...options, signal }));
  }

  get(key: string, options: GetOptions = {}): Promise<{ bytes: Buffer; etag: string }> {
    return this.#call(`get ${key}`, options.signal, 0, (signal, progress) =>
      this.inner.get(key, {
        ...options,
        signal,
        onProgress: () => {
          progress();
          options.onProgress?.();
        },
      }),
    );
  }

  getRange(key: string, offset: number, length: number, options: SignalOption = {}): Promise<Buffer> {
    return this.#call(`get ${key}`, options.signal, length, (signal) => this.inner.getRange(key, offset, length, { signal }));
  }

  head(key: string, options: SignalOption = {}): Promise<ObjectInfo> {
    return this.#call(`head ${key}`, options.signal, 0, (signal) => this.inner.head(key, { signal }));
  }

  list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    return this.#call(`list ${prefix}`, options.signal, 0, (signal, onProgress) =>
      this.inner.list(prefix, { ...options, signal, onProgress }),
    );
  }

  delete(key: string, options: SignalOption = {}): Promise<void> {
    return this.#call(`delete ${key}`, options.signal, 0, (signal) => this.inner.delete(key, { signal }));
  }

  presignGet(key: string, expirySeconds: number): Promise<string | undefined> {
    return this.inner.presignGet(key, expirySeconds);
  }

  /** Asks the store for one key below a prefix, even if it counts as silent. @throws StoreUnavailable */
  async check(prefix: string, signal?: AbortSignal): Promise<void> {
    if (this.#stuck >= MAX_STUCK) throw this.#silent();
    await this.#try(`list ${prefix}`, signal, 0, (inner) => this.inner.list(prefix, { limit: 1, signal: inner }));
  }

  /** Does nothing: the store belongs to whoever opened it. */
  async close(): Promise<void> {}

  #call<T>(
    what: string,
    signal: AbortSignal | undefined,
    bytes: number,
    work: (signal: AbortSignal, progress: () => void) => Promise<T>,
  ): Promise<T> {
    const now = performance.now();
    if (this.#stuck >= MAX_STUCK || (this.#tryAt !== undefined && now < this.#tryAt)) return Promise.reject(this.#silent());
    // The others fail at once while this one finds out.
    if (this.#tryAt !== undefined) this.#tryAt = now + this.options.operationMs;
    return this.#try(what, signal, bytes, work);
  }

  async #try<T>(
    what: string,
    outer: AbortSignal | undefined,
    bytes: number,
    work: (signal: AbortSignal, progress: () => void) => Promise<T>,
  ): Promise<T> {
    outer?.throwIfAborted();
    const begunAt = performance.now();
    const timeoutMs = this.options.operationMs + bytes / SLOWEST_BYTES_PER_MS;
    const ending = new AbortController();
    const onAbort = (): void => ending.abort(outer?.reason);
    outer?.addEventListener('abort', onAbort, { once: true });
    let isStuck = false;
    // It also runs after the caller has left, because an operation that cannot be ended must be counted.
    const timer = setTimeout(() => {
      isStuck = true;
      this.#stuck++;
      ending.abort(new StoreSilent(`${this.uri} ${what}: no answer within ${Math.ceil(timeoutMs)} ms`));
    }, timeoutMs);
    const working = work(ending.signal, () => {
      if (!isStuck) timer.refresh();
    }).finally(() => {
      clearTimeout(timer);
      if (isStuck) this.#stuck--;
    });
    try {
      const value = await orAborted(working, ending.signal);
      this.#answered();
      return value;
    } catch (thrown) {
      outer?.throwIfAborted();
      const error = isStuck ? ending.signal.reason : thrown;
      if (!(error instanceof StoreSilent)) this.#answered();
      else if (this.#answeredAt < begunAt) this.#tryAt = performance.now() + (this.options.retryMs ?? 1000);
      throw error;
    } finally {
      outer?.removeEventListener('abort', onAbort);
    }
  }

  #answered(): void {
    this.#answeredAt = performance.now();
    this.#tryAt = undefined;
  }

  #silent(): StoreSilent {
    return new StoreSilent(`${this.uri} has stopped answering`);
  }
}
