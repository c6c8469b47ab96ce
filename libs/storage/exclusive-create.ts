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
 * Creates an object exclusively. `bytes` must contain a token of the writer, or be such that writing them twice has the same meaning: when the reply
 * to a successful create is lost, the next attempt finds the object existing, and only its bytes tell who wrote it.
 * @returns 'created' if the object holds exactly these bytes, 'exists' if it holds another writer's
 * @throws StoreUnavailable if the outcome is unknown; calling again with the same bytes is safe
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
    // The create was refused because the object existed, but now it is deleted, so its writer is unknown.
    if (error instanceof ObjectNotFound) throw new StoreUnavailable(`object ${key} vanished while it was being created`, true, error);
    throw error;
  }
}
