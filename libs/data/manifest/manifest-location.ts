/**
 * Where a data set was last indexed: `manifest-locations/<sha256 of its manifest>`, a folder or a store. The object ends in its own SHA-256, so that a
 * changed path is not taken for another place; those of earlier versions, which lack it, are read too.
 */
import { DataLoss } from '#errors/errors.js';
import { ObjectNotFound, type ObjectStore, ObjectTooLarge } from '#storage/object-store.js';
import { SealBroken, sealJson, unsealJson } from '#storage/sealed-json.js';

export interface DatasetLocation {
  /** Folder, on the machine that indexed the data set. */
  readonly path?: string;
  /** URI of the store in which the data set was indexed. */
  readonly store?: string;
  /** Why the object cannot be read. Then neither of the others is known. */
  readonly damage?: string;
}

const SEAL = 'sha256';
const maxBytes = 1 << 16;
/** What helps against a location that is missing or damaged. */
export const indexAgain = 'run `dropstream data index` on the data set again';

export const locationKey = (sha256: string): string => `manifest-locations/${sha256}`;

/** @param place a folder, or the URI of a store and a prefix */
export async function saveLocation(store: ObjectStore, sha256: string, place: string, signal?: AbortSignal): Promise<void> {
  const { bytes } = sealJson(place.startsWith('s3://') ? { store: place } : { path: place }, SEAL);
  await store.put(locationKey(sha256), bytes, { contentType: 'application/json', signal });
}

/** Where the data set was last indexed; empty if the store does not say. One that cannot be read is no error here, since the data set may be found without it. */
export async function readLocation(store: ObjectStore, sha256: string, signal: AbortSignal | undefined): Promise<DatasetLocation> {
  try {
    return parseLocation((await store.get(locationKey(sha256), { maxBytes, signal })).bytes);
  } catch (error) {
    if (error instanceof ObjectNotFound) return {};
    if (error instanceof ObjectTooLarge) return { damage: `it has ${error.sizeBytes} bytes, at most ${maxBytes} are allowed` };
    throw error;
  }
}

export function parseLocation(bytes: Buffer): DatasetLocation {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
    if (typeof value === 'object' && value !== null && SEAL in value) value = unsealJson(bytes, SEAL).value;
  } catch (error) {
    if (error instanceof SyntaxError) return { damage: bytes.length === 0 ? 'it is empty' : `it is not JSON: ${error.message}` };
    if (error instanceof SealBroken) return { damage: `its content is not what was stored: ${error.message}` };
    throw error;
  }
  const { path, store, ...others } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (Object.keys(others).length === 0) {
    if (isFolder(path) && store === undefined) return { path };
    if (isStore(store) && path === undefined) return { store };
  }
  return { damage: 'it names neither a folder nor a store' };
}

/** @throws DataLoss if the location is damaged */
export function refuseDamagedLocation({ damage }: DatasetLocation, sha256: string): void {
  if (damage !== undefined)
    throw new DataLoss(locationKey(sha256), `${damage}. It says where the data set was indexed, and no root has it either: ${indexAgain}`);
}

const isFolder = (path: unknown): path is string => typeof path === 'string' && path !== '' && !path.includes('\0');

const isStore = (uri: unknown): uri is string => typeof uri === 'string' && uri.startsWith('s3://');
