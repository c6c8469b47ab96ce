import { type CheckpointName, listFolders } from './checkpoint.js';
import type { ObjectStore, SignalOption } from './object-store.js';

export interface RetentionOptions extends SignalOption {
  /** Chooses the committed checkpoints to delete; gets them by step, newest first. The caller makes sure that nobody needs the chosen ones. */
  unneeded: (committed: readonly CheckpointName[]) => readonly CheckpointName[];
  /** Parts without a manifest come from saves that failed. They are deleted when none was written for this long. Default 24 hours. */
  orphanAgeMs?: number;
  wallClock?: () => number;
}

const ORPHAN_AGE_MS = 24 * 3600 * 1000;

/**
 * Deletes unneeded checkpoints. The manifest is deleted before the parts, so that at every moment a checkpoint is either complete or invisible. Also
 * deletes what failed saves left behind.
 * @returns the ids of the deleted committed checkpoints
 */
export async function deleteCheckpoints(store: ObjectStore, prefix: string, options: RetentionOptions): Promise<string[]> {
  const { unneeded, orphanAgeMs = ORPHAN_AGE_MS, wallClock = Date.now, signal } = options;
  const folders = await listFolders(store, prefix, signal);
  const gone = unneeded(folders.filter(({ committed }) => committed)).map(({ id }) => id);
  for (const { id, committed, newestMs, manifestKey, keys } of folders) {
    const orphan = !committed && wallClock() - newestMs > orphanAgeMs;
    if (!orphan && !gone.includes(id)) continue;
    if (committed) await store.delete(manifestKey, { signal });
    for (const key of keys) await store.delete(key, { signal });
  }
  return gone;
}
