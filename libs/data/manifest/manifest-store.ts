/**
 * Manifests in the object store. `manifests/<sha256>` never changes, and is stored once for all projects. manifest-location.ts says which projects have
 * it, and the folder or store in which each has last indexed the data set; a replica with other mounts may find it elsewhere.
 */
import { access } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { DataLoss, FailedPrecondition, PermissionDenied } from '#errors/errors.js';
import { sha256Of } from '#storage/content-hash.js';
import { ObjectExists, ObjectNotFound, type ObjectStore, ObjectTooLarge } from '#storage/object-store.js';
import type { AllowedRoots } from '../datasets/allowed-roots.js';
import type { IndexedDataset } from '../datasets/index-dataset.js';
import { Manifest } from './manifest.js';
import { InvalidManifest } from './manifest-header.js';
import {
  checkProjectHas,
  indexAgain,
  locationKey,
  manifestNotFound,
  type ProjectManifest,
  readLocation,
  refuseDamagedLocation,
  saveLocation,
} from './manifest-location.js';

export const manifestKey = (sha256: string): string => `manifests/${sha256}`;

/** Stores a manifest under its hash, unless it is there already, and then that the project has it, and where. */
export async function saveManifest(store: ObjectStore, dataset: IndexedDataset, project: string, signal?: AbortSignal): Promise<void> {
  const { sha256, bytes, folder } = dataset;
  await putOnce(store, manifestKey(sha256), bytes, signal);
  await saveLocation(store, { project, sha256 }, folder, signal);
}

/** The key is the hash of the content, so an existing object is identical, and writing it twice does no harm. */
async function putOnce(store: ObjectStore, key: string, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  try {
    await store.put(key, bytes, { ifAbsent: true, signal });
  } catch (error) {
    if (error instanceof ObjectExists) return;
    // On S3, only objects of one part can be created exclusively, and a manifest of 200,000 images is larger.
    if (!(error instanceof ObjectTooLarge)) throw error;
    await store.put(key, bytes, { signal });
  }
}

/** @throws NotFound if the project has no such manifest; DataLoss if its bytes have another hash */
export async function loadManifest(store: ObjectStore, of: ProjectManifest, signal?: AbortSignal): Promise<Manifest> {
  await checkProjectHas(store, of, signal);
  const { sha256 } = of;
  const { bytes } = await store.get(manifestKey(sha256), { signal }).catch((error) => {
    throw error instanceof ObjectNotFound ? manifestNotFound(of, error) : error;
  });
  const found = await sha256Of(bytes, signal);
  if (found !== sha256) throw new DataLoss(`manifest ${sha256}`, `the SHA-256 of its bytes is ${found}`);
  try {
    return await Manifest.read(bytes, sha256, signal);
  } catch (error) {
    if (error instanceof InvalidManifest) throw new DataLoss(`manifest ${sha256}`, error.why, { cause: error });
    throw error;
  }
}

/**
 * Finds the folder of a project's data set on this machine: the folder in which it was indexed, or one below an allowed root whose path ends alike
 * (indexed at /home/me/sets/birds, found at /data/birds). Only the manifest's first file is looked for; the hash of every sample is checked when it
 * is read.
 * @throws PermissionDenied if it was indexed outside the roots and is not below any; FailedPrecondition if it is not on this machine; DataLoss if it
 * is in no root, and where it was indexed cannot be read
 */
export async function findDataset(
  store: ObjectStore,
  project: string,
  manifest: Manifest,
  roots: AllowedRoots,
  signal?: AbortSignal,
): Promise<string> {
  const of = { project, sha256: manifest.sha256 };
  const location = await readLocation(store, of, signal);
  const { path: indexed } = location;
  const segments = (indexed ?? '').split(sep).filter((segment) => segment !== '');
  const ends = Array.from({ length: segments.length + 1 }, (_, skipped) => join(...segments.slice(skipped), '.'));
  const candidates = [...(indexed === undefined ? [] : [indexed]), ...roots.folders.flatMap((root) => ends.map((end) => join(root, end)))];
  let denied: PermissionDenied | undefined;
  for (const candidate of candidates) {
    try {
      const folder = await roots.resolve(candidate);
      await access(join(folder, manifest.path(0)));
      return folder;
    } catch (error) {
      if (candidate === indexed && error instanceof PermissionDenied) denied = error;
    }
  }
  refuseDamagedLocation(location, of);
  if (denied) throw denied;
  const isUnknown = indexed === undefined && location.store === undefined;
  const why = isUnknown ? `, and ${locationKey(of)}, which says where it was indexed, is missing: ${indexAgain}` : '';
  throw new FailedPrecondition(
    'manifest',
    manifest.sha256,
    `its data set is not below ${roots.folders.join(' or ') || `a folder for project ${project}`} on this replica${why}`,
  );
}
