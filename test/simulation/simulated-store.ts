/**
 * An object store in memory with the semantics of libs/storage/object-store.ts, in two halves: StoreState carries out one call at once, and a client
 * hands every call of a process to whoever decides when it is carried out, and whether the process hears of it.
 */
import { createHash } from 'node:crypto';
import { orAborted } from '#bounds/or-aborted.js';
import {
  asChunks,
  type Bytes,
  checkKey,
  checkListLimit,
  checkPrefix,
  type ListPage,
  MAX_GET_BYTES,
  MAX_REPLACE_BYTES,
  ObjectExists,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  PreconditionFailed,
} from '#storage/object-store.js';
import { fingerprint, SetFingerprint } from './fingerprint.js';

export type StoreCall =
  | { readonly kind: 'put'; readonly key: string; readonly bytes: Buffer; readonly ifAbsent: boolean }
  | { readonly kind: 'replace'; readonly key: string; readonly bytes: Buffer; readonly ifMatch: string }
  | { readonly kind: 'get'; readonly key: string; readonly maxBytes: number }
  | { readonly kind: 'range'; readonly key: string; readonly offset: number; readonly length: number }
  | { readonly kind: 'head'; readonly key: string }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'list'; readonly key: string; readonly after: string; readonly limit: number };

export interface StoredObject {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly modifiedMs: number;
  readonly digest: number;
}

/** What a call gave: a value or an error, and a digest by which two answers can be compared. */
export interface Answer {
  readonly value?: unknown;
  readonly error?: Error;
  readonly digest: number;
}

export class StoreState {
  readonly objects = new Map<string, StoredObject>();
  readonly #fingerprint = new SetFingerprint();
  #sorted: string[] | undefined;

  /** Equal for stores with equal content. */
  get fingerprint(): number {
    return this.#fingerprint.value;
  }

  /** Keys in byte order; they are ASCII. */
  get keys(): readonly string[] {
    this.#sorted ??= [...this.objects.keys()].sort();
    return this.#sorted;
  }

  /** Carries out one call, as a whole. */
  answer(call: StoreCall, nowMs: number): Answer {
    try {
      return this.#do(call, nowMs);
    } catch (error) {
      return { error: error as Error, digest: fingerprint(String(error)) };
    }
  }

  #do(call: StoreCall, nowMs: number): Answer {
    const { key } = call;
    const found = this.objects.get(key);
    switch (call.kind) {
      case 'put':
        if (call.ifAbsent && found) throw new ObjectExists(key);
        return this.#write(key, call.bytes, nowMs);
      case 'replace':
        if (found?.etag !== call.ifMatch) throw new PreconditionFailed(key, call.ifMatch);
        return this.#write(key, call.bytes, nowMs);
      case 'delete':
        if (found) this.#forget(key, found);
        return { digest: 1 };
      case 'list':
        return this.#list(call);
      default:
    }
    if (!found) throw new ObjectNotFound(key);
    const { bytes, etag, digest, modifiedMs } = found;
    if (call.kind === 'head') return { value: { key, sizeBytes: bytes.length, etag, lastModified: new Date(modifiedMs) }, digest };
    if (call.kind === 'range') return { value: Buffer.from(bytes.subarray(call.offset, call.offset + call.length)), digest };
    if (bytes.length > call.maxBytes) throw new ObjectTooLarge(key, bytes.length, call.maxBytes);
    return { value: { bytes: Buffer.from(bytes), etag }, digest };
  }

  #write(key: string, bytes: Buffer, nowMs: number): Answer {
    const before = this.objects.get(key);
    if (before) this.#forget(key, before);
    const etag = createHash('md5').update(bytes).digest('hex');
    const stored = { bytes, etag, modifiedMs: nowMs, digest: fingerprint(`${key} ${etag} ${nowMs}`) };
    this.objects.set(key, stored);
    this.#fingerprint.add(stored.digest);
    if (!before) this.#sorted = undefined;
    return { value: { etag }, digest: 2 };
  }

  #forget(key: string, stored: StoredObject): void {
    this.objects.delete(key);
    this.#fingerprint.remove(stored.digest);
    this.#sorted = undefined;
  }

  #list({ key: prefix, after, limit }: StoreCall & { kind: 'list' }): Answer {
    const keys = this.keys.filter((key) => key.startsWith(prefix) && key > after);
    const page = keys.slice(0, limit);
    const objects = page.map((key) => {
      const { bytes, modifiedMs } = this.objects.get(key)!;
      return { key, sizeBytes: bytes.length, lastModified: new Date(modifiedMs) };
    });
    const value: ListPage = keys.length > page.length ? { objects, next: page.at(-1)! } : { objects };
    return { value, digest: fingerprint(page.map((key) => `${key} ${this.objects.get(key)!.modifiedMs}`).join()) };
  }
}

/** What one process sees of the store. `submit` decides when a call is carried out, and resolves or rejects with its outcome. */
export function storeClient(submit: (call: StoreCall) => Promise<unknown>): ObjectStore {
  const send = async <T>(call: StoreCall, signal: AbortSignal | undefined): Promise<T> => {
    signal?.throwIfAborted();
    return (await (signal ? orAborted(submit(call), signal) : submit(call))) as T;
  };
  const whole = (bytes: Bytes): Buffer => Buffer.concat(asChunks(bytes));
  return {
    uri: 'simulated:///',
    async put(key, bytes, { ifAbsent = false, signal } = {}) {
      checkKey(key);
      return send({ kind: 'put', key, bytes: whole(bytes), ifAbsent }, signal);
    },
    async replace(key, bytes, { ifMatch, signal }) {
      checkKey(key);
      const content = whole(bytes);
      if (content.length > MAX_REPLACE_BYTES) throw new ObjectTooLarge(key, content.length, MAX_REPLACE_BYTES);
      return send({ kind: 'replace', key, bytes: content, ifMatch }, signal);
    },
    async get(key, { maxBytes = MAX_GET_BYTES, signal } = {}) {
      checkKey(key);
      return send({ kind: 'get', key, maxBytes }, signal);
    },
    async getRange(key, offset, length, { signal } = {}) {
      checkKey(key);
      return send({ kind: 'range', key, offset, length }, signal);
    },
    async head(key, { signal } = {}) {
      checkKey(key);
      return send({ kind: 'head', key }, signal);
    },
    async list(prefix, { after = '', limit, signal } = {}) {
      checkPrefix(prefix);
      return send({ kind: 'list', key: prefix, after, limit: checkListLimit(limit) }, signal);
    },
    async delete(key, { signal } = {}) {
      checkKey(key);
      return send({ kind: 'delete', key }, signal);
    },
    async presignGet(key) {
      checkKey(key);
      return undefined;
    },
    async close() {},
  };
}
