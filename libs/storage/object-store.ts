/**
 * What Dropstream asks of a place that keeps objects: whole objects by key, exclusive creation, ordered listing.
 * Two implementations with the same meaning: directory-store.ts and s3-store.ts; test/support/store-conformance.ts says what "same" is.
 */

/** Bytes of one object; a list is written back to back, without first being joined. */
export type Bytes = Uint8Array | readonly Uint8Array[];

export interface PutOptions {
  /** Create only: exactly one of any number of concurrent writers succeeds, the others get ObjectExists. Default false: overwrite. */
  ifAbsent?: boolean | undefined;
  /** Default application/octet-stream. Kept by S3, ignored by directories. */
  contentType?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface GetOptions {
  /** Refuse larger objects with ObjectTooLarge before reading them. Default 2 GiB − 1. */
  maxBytes?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface ListOptions {
  /** Only keys after this one in byte order. It need not exist. */
  after?: string | undefined;
  /** At most this many, 1 to 1000. Default 1000. */
  limit?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface ObjectInfo {
  key: string;
  sizeBytes: number;
  etag: string;
  /** By the store's clock; information, and the age of leftovers. */
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
  /** The `after` of the next page; absent on the last one. */
  next?: string;
}

export interface SignalOption {
  signal?: AbortSignal | undefined;
}

/**
 * A key must not be a folder of another key ("a" and "a/b"): directories cannot hold both.
 * Every call rejects with the signal's reason once it is aborted, with StoreUnavailable when the store does not answer
 * in time, and with InvalidKey before anything is sent.
 */
export interface ObjectStore {
  /** Where this is, without credentials: file:///… or s3://bucket/prefix?endpoint=…. */
  readonly uri: string;
  /** Writes the whole object or nothing; durable once it resolves. @throws ObjectExists with ifAbsent; ObjectTooLarge */
  put(key: string, bytes: Bytes, options?: PutOptions): Promise<{ etag: string }>;
  /** Overwrites only the version with this etag. For small objects (at most 1 MiB). @throws PreconditionFailed, ObjectTooLarge */
  replace(key: string, bytes: Bytes, options: { ifMatch: string } & SignalOption): Promise<{ etag: string }>;
  /** @throws ObjectNotFound, ObjectTooLarge */
  get(key: string, options?: GetOptions): Promise<{ bytes: Buffer; etag: string }>;
  /** `length` bytes from `offset`, fewer at the object's end (none past it). @throws ObjectNotFound */
  getRange(key: string, offset: number, length: number, options?: SignalOption): Promise<Buffer>;
  /** @throws ObjectNotFound */
  head(key: string, options?: SignalOption): Promise<ObjectInfo>;
  /** One page of the keys that start with this text ('' = all). A listing that starts after a put resolved shows its object. */
  list(prefix: string, options?: ListOptions): Promise<ListPage>;
  /** Removes the object; one that is not there is no error. */
  delete(key: string, options?: SignalOption): Promise<void>;
  /** A URL that reads this object without credentials: file:// for a directory. Does not check that the object exists. */
  presignGet(key: string, expirySeconds: number): Promise<string | undefined>;
  /** Ends idle connections. Calls in flight finish by themselves. */
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

export class StorageError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
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
    super(`object ${key} is no longer at etag ${ifMatch}`);
  }
}

export class InvalidKey extends StorageError {
  constructor(
    readonly key: string,
    readonly why: string,
  ) {
    super(`object key ${JSON.stringify(key.slice(0, 200))} is refused: ${why}`);
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

/** The store gave no answer, or one that says nothing about the object. A write may or may not have happened. */
export class StoreUnavailable extends StorageError {
  constructor(
    message: string,
    /** Whether trying again later can help: false for refused credentials, a missing bucket, a store without a needed feature. */
    readonly retryable: boolean,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

const MAX_KEY_LENGTH = 900;
export const MAX_REPLACE_BYTES = 1 << 20;
export const MAX_GET_BYTES = 2 ** 31 - 1;
const MAX_LIST_LIMIT = 1000;

const SEGMENT = /^[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,127}$/;

/**
 * Keys are segments joined by '/'. A segment has 1 to 128 characters of A–Z a–z 0–9 . _ = - and does not start with a dot,
 * so no key names a parent folder or one of a directory store's temporary files. At most 900 characters.
 * @throws InvalidKey
 */
export function checkKey(key: string): void {
  if (key.length === 0 || key.length > MAX_KEY_LENGTH) throw new InvalidKey(key, `1 to ${MAX_KEY_LENGTH} characters are allowed`);
  for (const segment of key.split('/')) {
    if (!SEGMENT.test(segment)) {
      throw new InvalidKey(
        key,
        `segment ${JSON.stringify(segment.slice(0, 140))} must have 1 to 128 characters of A-Z a-z 0-9 . _ = - and no dot first`,
      );
    }
  }
}

/** A prefix is the beginning of a key: whole segments, then possibly a partial one. @throws InvalidKey */
export function checkPrefix(prefix: string): void {
  if (prefix === '') return;
  checkKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
}

/** @throws RangeError when not an integer from 1 to 1000 */
export function checkListLimit(limit = MAX_LIST_LIMIT): number {
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIST_LIMIT) {
    throw new RangeError(`list limit ${limit}: an integer from 1 to ${MAX_LIST_LIMIT} is allowed`);
  }
  return limit;
}

export const asChunks = (bytes: Bytes): readonly Uint8Array[] => (bytes instanceof Uint8Array ? [bytes] : bytes);

export const sizeOf = (bytes: Bytes): number => asChunks(bytes).reduce((sum, chunk) => sum + chunk.byteLength, 0);

/** Every object under a prefix in key order, page by page. */
export async function* listAll(store: ObjectStore, prefix: string, options: Omit<ListOptions, 'limit'> = {}): AsyncGenerator<ListedObject> {
  let after = options.after;
  for (;;) {
    const page = await store.list(prefix, { after, signal: options.signal });
    yield* page.objects;
    if (page.next === undefined) return;
    after = page.next;
  }
}
