/**
 * What Dropstream needs from an object store: whole objects by key, exclusive creation and ordered listing. The two implementations,
 * directory-store.ts and s3-store.ts, behave the same; test/support/store-conformance.ts defines how.
 */

import { redacted } from '#errors/redact.js';

/** Bytes of one object. The chunks of a list are written one after the other without being joined first. */
export type Bytes = Uint8Array | readonly Uint8Array[];

export interface PutOptions {
  /** Only create: exactly one of several concurrent writers succeeds, and the others get ObjectExists. Default false: overwrite. */
  ifAbsent?: boolean | undefined;
  /** Default application/octet-stream. S3 keeps it; directories ignore it. */
  contentType?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Returns zeroed or unused memory of this many bytes. */
export type Allocate = (bytes: number) => ArrayBuffer;

export interface GetOptions {
  /** Larger objects are rejected with ObjectTooLarge before they are read. Default 2 GiB − 1. */
  maxBytes?: number | undefined;
  /** Called whenever bytes have arrived, so that a caller can tell a slow read from one that hangs. */
  onProgress?: (() => void) | undefined;
  /** Returns the memory that the object is read into, aligned for tensors. Default: an ordinary ArrayBuffer. */
  allocate?: Allocate | undefined;
  signal?: AbortSignal | undefined;
}

export interface ListOptions {
  /** Only keys after this one in byte order. No object needs to have this key. */
  after?: string | undefined;
  /** Largest number of keys, from 1 to 1000, or to the store's own `maxListed`. Default 1000. */
  limit?: number | undefined;
  /** Called now and then while a page is being read, so that a caller can tell a long listing from one that hangs. */
  onProgress?: (() => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface ObjectInfo {
  key: string;
  sizeBytes: number;
  etag: string;
  /** Time by the store's clock. For information, and for the age of leftovers. */
  lastModified: Date;
}

export interface ListedObject {
  key: string;
  sizeBytes: number;
  lastModified: Date;
}

export interface ListPage {
  /** In ascending byte order of the key. */
  objects: ListedObject[];
  /** The value of `after` for the next page; absent on the last page. */
  next?: string;
}

export interface SignalOption {
  signal?: AbortSignal | undefined;
}

/**
 * A key must not be a folder of another key ("a" and "a/b"), because directories cannot hold both. Every call rejects with the signal's reason once
 * the signal is aborted, with StoreUnavailable if the store does not answer in time, and with InvalidKey before anything is sent.
 */
export interface ObjectStore {
  /** Location without credentials: file:///… or s3://bucket/prefix?endpoint=…. */
  readonly uri: string;
  /** Largest limit of a list, for a store that reads all keys of a folder however few are asked for. Default 1000. */
  readonly maxListed?: number | undefined;
  /** Writes the whole object or nothing. It is durable when the promise resolves. @throws ObjectExists with ifAbsent; ObjectTooLarge */
  put(key: string, bytes: Bytes, options?: PutOptions): Promise<{ etag: string }>;
  /** Overwrites only the version with this etag. For small objects (at most 1 MiB). @throws PreconditionFailed, ObjectTooLarge */
  replace(key: string, bytes: Bytes, options: { ifMatch: string } & SignalOption): Promise<{ etag: string }>;
  /** @throws ObjectNotFound, ObjectTooLarge */
  get(key: string, options?: GetOptions): Promise<{ bytes: Buffer; etag: string }>;
  /** Reads `length` bytes from `offset`; fewer at the object's end, and none after it. @throws ObjectNotFound */
  getRange(key: string, offset: number, length: number, options?: SignalOption): Promise<Buffer>;
  /** @throws ObjectNotFound */
  head(key: string, options?: SignalOption): Promise<ObjectInfo>;
  /** One page of the keys that start with `prefix` ('' for all). A listing that starts after a put has resolved contains its object. */
  list(prefix: string, options?: ListOptions): Promise<ListPage>;
  /** Deletes the object. A missing object is not an error. */
  delete(key: string, options?: SignalOption): Promise<void>;
  /** A URL for reading this object without credentials; file:// for a directory. Does not check that the object exists. */
  presignGet(key: string, expirySeconds: number): Promise<string | undefined>;
  /** Closes idle connections. Calls in flight may finish. */
  close(): Promise<void>;
}

/** One page of a place as people browse it. */
export interface BrowsePage {
  /** In the order of the store, which need not be that of the keys. Without the markers that some programs put for folders. */
  readonly objects: readonly ListedObject[];
  /** Names that end in '/', where only the level itself was asked for. */
  readonly folders: readonly string[];
  /** Where the next page goes on; absent on the last one. */
  readonly next?: string;
}

/** A store that tells what others have put into it, whatever they called it. */
export interface BrowsableStore extends ObjectStore {
  /** `prefix`: any text. `level`: true for what lies directly below it, false for all. */
  browse(prefix: string, options: { readonly level: boolean; readonly from?: string | undefined } & SignalOption): Promise<BrowsePage>;
}

export const isBrowsable = (store: ObjectStore): store is BrowsableStore => 'browse' in store;

/** Its message holds no secret, whatever it was made of. */
export class StorageError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(redacted(message), options);
    this.name = new.target.name;
  }
}

export class ObjectNotFound extends StorageError {
  constructor(readonly key: string) {
    super(`object ${key} does not exist`);
  }
}

export class ObjectExists extends StorageError {
  constructor(readonly key: string) {
    super(`object ${key} exists already`);
  }
}

export class PreconditionFailed extends StorageError {
  constructor(
    readonly key: string,
    readonly ifMatch: string,
  ) {
    super(`object ${key} no longer has the etag ${ifMatch}`);
  }
}

export class InvalidKey extends StorageError {
  constructor(
    readonly key: string,
    readonly why: string,
  ) {
    super(`object key ${JSON.stringify(key.slice(0, 200))} is not valid: ${why}`);
  }
}

export class ObjectTooLarge extends StorageError {
  constructor(
    readonly key: string,
    readonly sizeBytes: number,
    readonly maxBytes: number,
  ) {
    super(`object ${key} has ${sizeBytes} bytes, at most ${maxBytes} are allowed here`);
  }
}

/** The store did not answer, or its answer says nothing about the object. A write may or may not have happened. */
export class StoreUnavailable extends StorageError {
  constructor(
    message: string,
    /** Whether another attempt later can help; false for rejected credentials, a missing bucket, or a store that lacks a needed feature. */
    readonly retryable: boolean,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

/** Nothing at all answered in time, so other operations would not be answered either. */
export class StoreSilent extends StoreUnavailable {
  constructor(message: string, cause?: unknown) {
    super(message, true, cause);
  }
}

/** The store answers but has no room for another object. Nothing of the object is visible, and reading still works. */
export class StoreFull extends StoreUnavailable {
  constructor(
    /** The store's folder or address. */
    readonly place: string,
    /** The system's own words. */
    readonly why: string,
    cause?: unknown,
  ) {
    super(`${place} has no room left (${why})`, true, cause);
  }
}

const MAX_KEY_LENGTH = 900;
export const MAX_REPLACE_BYTES = 1 << 20;
export const MAX_GET_BYTES = 2 ** 31 - 1;
export const MAX_LIST_LIMIT = 1000;

const SEGMENT = /^[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,127}$/;

/**
 * Keys are segments joined by '/'. A segment has 1 to 128 characters of A–Z a–z 0–9 . _ = - and does not start with a dot, so no key can name a
 * parent folder or a temporary file of a directory store. A key has at most 900 characters.
 * @throws InvalidKey
 */
export function checkKey(key: string): void {
  if (key.length === 0 || key.length > MAX_KEY_LENGTH) throw new InvalidKey(key, `1 to ${MAX_KEY_LENGTH} characters are allowed`);
  for (const segment of key.split('/')) {
    if (!SEGMENT.test(segment)) {
      throw new InvalidKey(
        key,
        `segment ${JSON.stringify(segment.slice(0, 140))} must have 1 to 128 characters of A-Z a-z 0-9 . _ = - and must not start with a dot`,
      );
    }
  }
}

/** A prefix is the beginning of a key: whole segments, and then possibly a part of one. @throws InvalidKey */
export function checkPrefix(prefix: string): void {
  if (prefix === '') return;
  checkKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
}

/** @throws RangeError unless it is an integer from 1 to `most` */
export function checkListLimit(limit = MAX_LIST_LIMIT, most = MAX_LIST_LIMIT): number {
  if (!Number.isInteger(limit) || limit < 1 || limit > most) {
    throw new RangeError(`list limit ${limit}: an integer from 1 to ${most} is allowed`);
  }
  return limit;
}

export const asChunks = (bytes: Bytes): readonly Uint8Array[] => (bytes instanceof Uint8Array ? [bytes] : bytes);

export const sizeOf = (bytes: Bytes): number => asChunks(bytes).reduce((sum, chunk) => sum + chunk.byteLength, 0);

/** Whether there is an object with this key. */
export async function objectExists(store: ObjectStore, key: string, options?: SignalOption): Promise<boolean> {
  try {
    await store.head(key, options);
    return true;
  } catch (error) {
    if (error instanceof ObjectNotFound) return false;
    throw error;
  }
}

/** Every object with a prefix, in key order; reads page by page. @param options.limit size of the first page, for callers who may need no more */
export async function* listAll(store: ObjectStore, prefix: string, options: ListOptions = {}): AsyncGenerator<ListedObject> {
  let { after, limit } = options;
  for (;;) {
    const page = await store.list(prefix, { after, limit, signal: options.signal });
    limit = store.maxListed;
    yield* page.objects;
    if (page.next === undefined) return;
    after = page.next;
  }
}
