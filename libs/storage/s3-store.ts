import { randomUUID } from 'node:crypto';
import type http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Client } from 'minio';
import {
  type BrowsableStore,
  type BrowsePage,
  type Bytes,
  checkKey,
  checkListLimit,
  checkPrefix,
  type GetOptions,
  InvalidKey,
  type ListOptions,
  type ListPage,
  MAX_GET_BYTES,
  MAX_REPLACE_BYTES,
  ObjectExists,
  type ObjectInfo,
  ObjectNotFound,
  ObjectTooLarge,
  PreconditionFailed,
  type PutOptions,
  type SignalOption,
  StoreFull,
  StoreSilent,
  StoreUnavailable,
  sizeOf,
} from './object-store.js';
import { blocksOf, concatBytes, readBody } from './s3-bodies.js';
import type { S3KeySource } from './s3-credentials.js';
import { type Attempt, DEFAULT_S3_LIMITS, type S3Limits, S3Transport } from './s3-transport.js';

export interface S3Location {
  /** http(s)://host[:port] */
  endpoint: URL;
  region: string;
  bucket: string;
  /** Prepended to every key; has no slash at its end; '' for none. */
  prefix: string;
  keys: S3KeySource;
  /** Objects were put there by others: any name that S3 allows is a key. Default false: only our own grammar. */
  foreignKeys?: boolean | undefined;
}

/** Largest body of one request; larger plain puts are uploaded in parts. Hashing one part blocks the event loop for less than 50 ms. */
export const S3_PART_BYTES = 16 << 20;
const MAX_S3_NAME_BYTES = 1024;
const SLOWEST_BYTES_PER_MS = 1049;
const DEFAULT_CONTENT_TYPE = 'application/octet-stream';

/** MinIO's words for a full disk and a used-up quota. */
const FULL_CODES = new Set(['XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded', 'QuotaExceeded']);

/** The kind of call that an error came from; it decides what 404, 409 and 412 mean. */
type Purpose = { kind: 'read' } | { kind: 'create' } | { kind: 'replace'; ifMatch: string } | { kind: 'write' } | { kind: 'list' };

/** Objects in a bucket of MinIO or any other S3 that enforces If-None-Match on single PUTs, which `probe` checks. */
export class S3Store implements BrowsableStore {
  readonly uri: string;
  private readonly client: Client;
  private readonly transport: S3Transport;
  private readonly bucket: string;
  private readonly keyPrefix: string;
  private readonly foreignKeys: boolean;

  constructor(location: S3Location, limits: Partial<S3Limits> = {}) {
    const { endpoint, region, bucket, prefix } = location;
    const secure = endpoint.protocol === 'https:';
    this.transport = new S3Transport(secure, { ...DEFAULT_S3_LIMITS, ...limits });
    this.bucket = bucket;
    this.foreignKeys = location.foreignKeys ?? false;
    this.keyPrefix = prefix === '' ? '' : `${prefix}/`;
    this.uri = `s3://${bucket}${prefix === '' ? '' : `/${prefix.split('/').map(encodeURIComponent).join('/')}`}?endpoint=${endpoint.origin}&region=${region}`;
    this.client = new Client({
      endPoint: endpoint.hostname,
      ...(endpoint.port === '' ? {} : { port: Number(endpoint.port) }),
      useSSL: secure,
      credentialsProvider: providerOf(location.keys),
      region,
      partSize: S3_PART_BYTES,
      transport: this.transport as unknown as Pick<typeof http, 'request'>,
      transportAgent: this.transport.agent,
      retryOptions: { disableRetry: true },
    });
  }

  /**
   * Checks that the store answers, accepts the credentials, and lets only the first of two creates of a key succeed.
   * @throws StoreUnavailable (retryable only if the store did not answer)
   */
  async probe(signal?: AbortSignal): Promise<void> {
    const key = `probe-${randomUUID()}`;
    await this.put(key, Buffer.from('first'), { ifAbsent: true, signal });
    try {
      const second = await this.put(key, Buffer.from('second'), { ifAbsent: true, signal }).catch((error) => error);
      if (second instanceof ObjectExists) return;
      if (second instanceof Error) throw second;
      throw new StoreUnavailable(`${this.uri} ignores If-None-Match: it cannot keep run logs`, false);
    } finally {
      await this.delete(key, { signal }).catch(() => undefined);
    }
  }

  async put(key: string, bytes: Bytes, options: PutOptions = {}): Promise<{ etag: string }> {
    const name = this.nameOf(key);
    const headers: Record<string, string> = { 'Content-Type': options.contentType ?? DEFAULT_CONTENT_TYPE };
    const sizeBytes = sizeOf(bytes);
    if (options.ifAbsent) {
      // An upload in parts would not be exclusive: S3 checks the condition only when the upload starts.
      if (sizeBytes > S3_PART_BYTES) throw new ObjectTooLarge(key, sizeBytes, S3_PART_BYTES);
      headers['If-None-Match'] = '*';
    }
    if (sizeBytes > S3_PART_BYTES) return this.putParts(key, name, bytes, headers, options.signal);
    return this.putSingle(key, name, bytes, headers, options.ifAbsent ? { kind: 'create' } : { kind: 'write' }, options.signal);
  }

  async replace(key: string, bytes: Bytes, { ifMatch, signal }: { ifMatch: string } & SignalOption): Promise<{ etag: string }> {
    if (sizeOf(bytes) > MAX_REPLACE_BYTES) throw new ObjectTooLarge(key, sizeOf(bytes), MAX_REPLACE_BYTES);
    const headers = { 'Content-Type': DEFAULT_CONTENT_TYPE, 'If-Match': `"${ifMatch}"` };
    return this.putSingle(key, this.nameOf(key), bytes, headers, { kind: 'replace', ifMatch }, signal);
  }

  async get(
    key: string,
    { maxBytes = MAX_GET_BYTES, onProgress, allocate, signal }: GetOptions = {},
  ): Promise<{ bytes: Buffer; etag: string }> {
    const name = this.nameOf(key);
    return this.call(key, { kind: 'read' }, { signal }, async (attempt) => {
      const response = (await this.client.getObject(this.bucket, name)) as IncomingMessage;
      const progress = (): void => {
        attempt.progress();
        onProgress?.();
      };
      const bytes = await readBody(key, response, { maxBytes, onProgress: progress, allocate });
      return { bytes, etag: bareEtag(response.headers.etag) };
    });
  }

  async getRange(key: string, offset: number, length: number, { signal }: SignalOption = {}): Promise<Buffer> {
    const name = this.nameOf(key);
    if (length === 0) {
      await this.head(key, { signal });
      return Buffer.alloc(0);
    }
    return this.call(key, { kind: 'read' }, { signal }, async (attempt) => {
      try {
        const response = (await this.client.getPartialObject(this.bucket, name, offset, length)) as IncomingMessage;
        return await readBody(key, response, { maxBytes: length, onProgress: () => attempt.progress() });
      } catch (error) {
        if (attempt.status === 416) return Buffer.alloc(0);
        throw error;
      }
    });
  }

  async head(key: string, { signal }: SignalOption = {}): Promise<ObjectInfo> {
    const name = this.nameOf(key);
    return this.call(key, { kind: 'read' }, { signal }, async () => {
      const { size, etag, lastModified } = await this.client.statObject(this.bucket, name);
      return { key, sizeBytes: size, etag, lastModified };
    });
  }

  async list(prefix: string, { after, limit, signal }: ListOptions = {}): Promise<ListPage> {
    if (!this.foreignKeys) checkPrefix(prefix);
    const most = checkListLimit(limit);
    const startAfter = after === undefined || after === '' ? '' : this.keyPrefix + after;
    return this.call(prefix, { kind: 'list' }, { signal }, async () => {
      const page = await this.client.listObjectsV2Query(this.bucket, this.keyPrefix + prefix, '', '', most, startAfter);
      const objects = page.objects.map((object) => ({
        key: String(object.name).slice(this.keyPrefix.length),
        sizeBytes: Number(object.size),
        lastModified: object.lastModified as Date,
      }));
      return page.isTruncated && objects.length > 0 ? { objects, next: objects[objects.length - 1]!.key } : { objects };
    });
  }

  async browse(
    prefix: string,
    { level, from = '', signal }: { level: boolean; from?: string | undefined } & SignalOption,
  ): Promise<BrowsePage> {
    return this.call(prefix, { kind: 'list' }, { signal }, async () => {
      const page = await this.client.listObjectsV2Query(this.bucket, this.keyPrefix + prefix, from, level ? '/' : '', 1000, '');
      const own = (name: unknown): string => String(name).slice(this.keyPrefix.length);
      const objects = page.objects
        .filter(({ name }) => name !== undefined && !String(name).endsWith('/'))
        .map(({ name, size, lastModified }) => ({ key: own(name), sizeBytes: Number(size), lastModified: lastModified as Date }));
      const folders = page.objects.flatMap((object) => (object.prefix === undefined ? [] : [own(object.prefix)]));
      return page.isTruncated && page.nextContinuationToken !== '' && page.nextContinuationToken !== from
        ? { objects, folders, next: String(page.nextContinuationToken) }
        : { objects, folders };
    });
  }

  async delete(key: string, { signal }: SignalOption = {}): Promise<void> {
    const name = this.nameOf(key);
    await this.call(key, { kind: 'write' }, { signal }, () => this.client.removeObject(this.bucket, name));
  }

  async presignGet(key: string, expirySeconds: number): Promise<string> {
    return this.client.presignedGetObject(this.bucket, this.nameOf(key), expirySeconds);
  }

  async close(): Promise<void> {
    this.transport.close();
  }

  private nameOf(key: string): string {
    if (this.foreignKeys) {
      if (key === '' || Buffer.byteLength(this.keyPrefix + key) > MAX_S3_NAME_BYTES)
        throw new InvalidKey(key, `names of objects have 1 to ${MAX_S3_NAME_BYTES} bytes`);
      return this.keyPrefix + key;
    }
    checkKey(key);
    // minio-js's listing turns names that look like numbers into numbers: '000000000012' would come back as '12'.
    if (this.keyPrefix === '' && /^[-\d][^/]*$/.test(key))
      throw new InvalidKey(key, 'in a store without a prefix, a top-level key must not start with a number');
    return this.keyPrefix + key;
  }

  private async putSingle(
    key: string,
    name: string,
    bytes: Bytes,
    headers: Record<string, string>,
    purpose: Purpose,
    signal?: AbortSignal,
  ) {
    const body = concatBytes(bytes);
    return this.call(key, purpose, { signal, extraMs: body.length / SLOWEST_BYTES_PER_MS }, async () => {
      const { etag } = await this.client.putObject(this.bucket, name, body, body.length, headers);
      return { etag };
    });
  }

  /** minio-js's own multipart upload is not used, because it continues any unfinished upload of the same key, even another writer's. */
  private async putParts(
    key: string,
    name: string,
    bytes: Bytes,
    headers: Record<string, string>,
    signal?: AbortSignal,
  ): Promise<{ etag: string }> {
    const write: Purpose = { kind: 'write' };
    const uploadID = await this.call(key, write, { signal }, () => this.client.initiateNewMultipartUpload(this.bucket, name, headers));
    try {
      const parts: { part: number; etag: string }[] = [];
      for (const block of blocksOf(bytes, S3_PART_BYTES)) {
        const partNumber = parts.length + 1;
        const { etag } = await this.call(key, write, { signal, extraMs: block.length / SLOWEST_BYTES_PER_MS }, () =>
          this.client.uploadPart({ bucketName: this.bucket, objectName: name, uploadID, partNumber, headers: {} }, block),
        );
        parts.push({ part: partNumber, etag });
      }
      return await this.completeParts(key, name, uploadID, parts, sizeOf(bytes), signal);
    } catch (error) {
      // Runs even after the caller's abort, because unfinished uploads are invisible and take space. Best effort: the bucket's lifecycle rules do the
      // rest.
      const briefly = AbortSignal.timeout(this.transport.limits.requestTimeoutMs);
      await this.call(key, write, { signal: briefly }, () => this.client.abortMultipartUpload(this.bucket, name, uploadID)).catch(
        () => undefined,
      );
      throw error;
    }
  }

  private completeParts(
    key: string,
    name: string,
    uploadID: string,
    parts: { part: number; etag: string }[],
    sizeBytes: number,
    signal?: AbortSignal,
  ): Promise<{ etag: string }> {
    // The server joins the parts before it answers, so this request may take longer than others.
    const extraMs = this.transport.limits.requestTimeoutMs;
    return this.call(key, { kind: 'write' }, { signal, extraMs }, async (attempt) => {
      try {
        const { etag } = await this.client.completeMultipartUpload(this.bucket, name, uploadID, parts);
        return { etag: bareEtag(etag) };
      } catch (error) {
        // A completed upload no longer exists: an earlier attempt succeeded and its reply was lost.
        if (attempt.number === 1 || (error as { code?: unknown }).code !== 'NoSuchUpload') throw error;
        const found = await this.client.statObject(this.bucket, name);
        if (found.size !== sizeBytes) throw error;
        return { etag: found.etag };
      }
    });
  }

  private call<T>(
    key: string,
    purpose: Purpose,
    options: { signal?: AbortSignal | undefined; extraMs?: number },
    work: (attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    return this.transport.run(`${this.uri} ${purpose.kind} ${key}`, options, work, (error, attempt) =>
      this.classify(key, purpose, error, attempt),
    );
  }

  private classify(key: string, purpose: Purpose, error: unknown, attempt: Attempt): { retryable: boolean; error: Error } {
    const final = (meaning: Error) => ({ retryable: false, error: meaning });
    if (error instanceof ObjectTooLarge || error instanceof StoreUnavailable)
      return { retryable: error instanceof StoreUnavailable, error };
    const { status } = attempt;
    const code = String((error as { code?: unknown }).code ?? '');
    const say = `${this.uri} ${purpose.kind} ${key}: ${code || (error as Error).message}${status === undefined ? '' : ` (HTTP ${status})`}`;
    if (status === 404 && code !== 'NoSuchBucket') {
      if (purpose.kind === 'read') return final(new ObjectNotFound(key));
      if (purpose.kind === 'replace') return final(new PreconditionFailed(key, purpose.ifMatch));
    }
    if (status === 412 && purpose.kind === 'create') return final(new ObjectExists(key));
    if (status === 412 && purpose.kind === 'replace') return final(new PreconditionFailed(key, purpose.ifMatch));
    if (code === 'XMinioParentIsObject' || code === 'XMinioObjectExistsAsDirectory')
      return final(new InvalidKey(key, 'one of its folders is an object'));
    if (status === 507 || FULL_CODES.has(code)) return final(new StoreFull(this.uri, code || `HTTP ${status}`, error));
    if (status === undefined) return { retryable: true, error: new StoreSilent(say, error) };
    // 409: another conditional write of this key is in progress; the next attempt shows who won.
    const retryable = status >= 500 || [200, 408, 409, 429].includes(status);
    return { retryable, error: new StoreUnavailable(say, retryable, error) };
  }
}

const bareEtag = (etag: string | undefined): string => (etag ?? '').replace(/^W\//, '').replaceAll('"', '');

/** minio-js asks it before it signs a request. Its own class keeps the first keys. */
function providerOf(keys: S3KeySource): CredentialProvider {
  const getCredentials = async () => {
    const { accessKey, secretKey, sessionToken } = keys();
    return { getAccessKey: () => accessKey, getSecretKey: () => secretKey, getSessionToken: () => sessionToken };
  };
  return { getCredentials } as unknown as CredentialProvider;
}

type CredentialProvider = NonNullable<ConstructorParameters<typeof Client>[0]['credentialsProvider']>;
