/**
 * That a project has a data set, and where it was last indexed for it, a folder or a store: `projects/<project>/manifests/<sha256 of its manifest>`.
 * The manifest itself is stored once, and only projects that have this object reach it. The object ends in its own SHA-256, so that a changed path is
 * not taken for another place.
 *
 * Earlier versions stored one place for all projects, `manifest-locations/<sha256>`, sometimes without its SHA-256. It gives no project access;
 * `dropstream data share` makes the object of a project from it.
 */
import { DataLoss, NotFound } from '#errors/errors.js';
import { ObjectNotFound, type ObjectStore, ObjectTooLarge, objectExists } from '#storage/object-store.js';
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

/** The manifest of a data set as a project has it. */
export interface ProjectManifest {
  /** Id of the project. */
  readonly project: string;
  /** 64 hex digits. */
  readonly sha256: string;
}

export const locationKey = ({ project, sha256 }: ProjectManifest): string => `projects/${project}/manifests/${sha256}`;
/** In the layout of earlier versions. */
export const sharedLocationKey = (sha256: string): string => `manifest-locations/${sha256}`;

/** Lets the project reach the manifest. @param place a folder, or the URI of a store and a prefix */
export async function saveLocation(store: ObjectStore, of: ProjectManifest, place: string, signal?: AbortSignal): Promise<void> {
  const { bytes } = sealJson(place.startsWith('s3://') ? { store: place } : { path: place }, SEAL);
  await store.put(locationKey(of), bytes, { contentType: 'application/json', signal });
}

/**
 * The same error whether no project has the manifest or only others have it, so that nobody learns what others have.
 * @throws NotFound unless the project has the manifest
 */
export async function checkProjectHas(store: ObjectStore, of: ProjectManifest, signal: AbortSignal | undefined): Promise<void> {
  if (await objectExists(store, locationKey(of), { signal })) return;
  throw manifestNotFound(of);
}

export function manifestNotFound({ project, sha256 }: ProjectManifest, cause?: unknown): NotFound {
  const why = `project ${project} has none of this name in the store of this service; run \`dropstream data index --project ${project}\` with that store`;
  return new NotFound('manifest', sha256, { cause, why });
}

/** Where the data set was last indexed; empty if the store does not say. One that cannot be read is no error here, since the data set may be found without it. */
export async function readLocation(store: ObjectStore, of: ProjectManifest, signal: AbortSignal | undefined): Promise<DatasetLocation> {
  return await readLocationAt(store, locationKey(of), signal);
}

export async function readLocationAt(store: ObjectStore, key: string, signal: AbortSignal | undefined): Promise<DatasetLocation> {
  try {
    return parseLocation((await store.get(key, { maxBytes, signal })).bytes);
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
export function refuseDamagedLocation({ damage }: DatasetLocation, of: ProjectManifest): void {
  if (damage !== undefined)
    throw new DataLoss(locationKey(of), `${damage}. It says where the data set was indexed, and no root has it either: ${indexAgain}`);
}

const isFolder = (path: unknown): path is string => typeof path === 'string' && path !== '' && !path.includes('\0');

const isStore = (uri: unknown): uri is string => typeof uri === 'string' && uri.startsWith('s3://');
