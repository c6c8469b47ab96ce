/** A store that does what another one does, with something around every operation. */
import type { StoreOperation } from '#telemetry/store-metrics.js';
import {
  type Bytes,
  type GetOptions,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
  type SignalOption,
  sizeOf,
} from './object-store.js';

export interface StoreCall {
  readonly operation: StoreOperation;
  /** Of the object, or the prefix of a listing. */
  readonly key: string;
  readonly signal: AbortSignal | undefined;
  /** Number of bytes that are written, or of the part that is read; undefined if that is not known before. */
  readonly bytes?: number;
}

export abstract class WrappedStore implements ObjectStore {
  constructor(protected readonly inner: ObjectStore) {}

  get uri(): string {
    return this.inner.uri;
  }

  get maxListed(): number | undefined {
    return this.inner.maxListed;
  }

  put(key: string, bytes: Bytes, options: PutOptions = {}): Promise<{ etag: string }> {
    const call = { operation: 'put', key, signal: options.signal, bytes: sizeOf(bytes) } as const;
    return this.around(call, () => this.inner.put(key, bytes, options));
  }

  replace(key: string, bytes: Bytes, options: { ifMatch: string } & SignalOption): Promise<{ etag: string }> {
    const call = { operation: 'replace', key, signal: options.signal, bytes: sizeOf(bytes) } as const;
    return this.around(call, () => this.inner.replace(key, bytes, options));
  }

  get(key: string, options: GetOptions = {}): Promise<{ bytes: Buffer; etag: string }> {
    return this.around({ operation: 'get', key, signal: options.signal }, () => this.inner.get(key, options));
  }

  getRange(key: string, offset: number, length: number, options: SignalOption = {}): Promise<Buffer> {
    const call = { operation: 'get_range', key, signal: options.signal, bytes: length } as const;
    return this.around(call, () => this.inner.getRange(key, offset, length, options));
  }

  head(key: string, options: SignalOption = {}): Promise<ObjectInfo> {
    return this.around({ operation: 'head', key, signal: options.signal }, () => this.inner.head(key, options));
  }

  list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    return this.around({ operation: 'list', key: prefix, signal: options.signal }, () => this.inner.list(prefix, options));
  }

  delete(key: string, options: SignalOption = {}): Promise<void> {
    return this.around({ operation: 'delete', key, signal: options.signal }, () => this.inner.delete(key, options));
  }

  presignGet(key: string, expirySeconds: number): Promise<string | undefined> {
    return this.inner.presignGet(key, expirySeconds);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  /** Runs an operation, and resolves or rejects as it does. */
  protected abstract around<T>(call: StoreCall, work: () => Promise<T>): Promise<T>;
}
