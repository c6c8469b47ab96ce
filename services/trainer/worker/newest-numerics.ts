/** The numerics that a run goes on from. What its worker may choose, such as the tiles of a GPU's products, stays as it was. */
import { readManifest } from '#storage/checkpoint.js';
import { CheckpointDamaged } from '#storage/checkpoint-manifest.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { manifestKeyOf } from '#work/checkpoint-keys.js';
import type { KnownCheckpoint } from '../run/run-state.js';

/**
 * The numerics of the newest readable checkpoint; an attempt skips damaged ones in the same way. Undefined without one.
 * @throws errors of the store; the signal's reason
 */
export async function newestNumerics(
  store: ObjectStore,
  checkpoints: readonly KnownCheckpoint[],
  runUid: string,
  signal: AbortSignal,
): Promise<{ checkpoint: string; fingerprint: string } | undefined> {
  for (const { name } of checkpoints) {
    try {
      const { manifest } = await readManifest(store, manifestKeyOf(name, runUid), { signal });
      return { checkpoint: name, fingerprint: manifest.fingerprint };
    } catch (error) {
      if (!(error instanceof CheckpointDamaged || error instanceof ObjectNotFound)) throw error;
    }
  }
  return undefined;
}
