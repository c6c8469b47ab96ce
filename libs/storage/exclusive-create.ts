import {
  asChunks,
  type Bytes,
  ObjectExists,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  StoreUnavailable,
  sizeOf,
} from './object-store.js';

export interface CreateOptions {
  contentType?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Creates an object of which there can be only one. `bytes` must carry a token of the writer (or be such that writing them
 * twice means the same): when the reply to a successful create is lost, the next try is refused, and only the object's own
 * bytes then tell whose it is.
 * @returns 'created' when the object holds exactly these bytes, 'exists' when it holds another writer's
 * @throws StoreUnavailable when the outcome could not be learnt: calling again with the same bytes is safe
 */
export async function createExclusive(
  store: ObjectStore,
  key: string,
  bytes: Bytes,
  options: CreateOptions = {},
): Promise<'created' | 'exists'> {
  try {
    await store.put(key, bytes, { ...options, ifAbsent: true });
    return 'created';
  } catch (error) {
    if (!(error instanceof ObjectExists)) throw error;
  }
  return (await holds(store, key, bytes, options.signal)) ? 'created' : 'exists';
}

async function holds(store: ObjectStore, key: string, bytes: Bytes, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const found = await store.get(key, { maxBytes: sizeOf(bytes), signal });
    return found.bytes.equals(Buffer.concat(asChunks(bytes)));
  } catch (error) {
    if (error instanceof ObjectTooLarge) return false;
    // Refused as existing and gone a moment later: it was deleted in between, and whose it was can no longer be told.
    if (error instanceof ObjectNotFound) throw new StoreUnavailable(`object ${key} vanished while it was being created`, true, error);
    throw error;
  }
}
