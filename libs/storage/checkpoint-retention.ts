import { type CheckpointName, listFolders } from './checkpoint.js';
import type { ObjectStore, SignalOption } from './object-store.js';

export interface RetentionOptions extends SignalOption {
  /** Which of the committed checkpoints, by step, newest first, are to go. Whoever calls answers for those that somebody may need. */
  unneeded: (committed: readonly CheckpointName[]) => readonly CheckpointName[];
  /** Parts without a manifest, of saves that died, go when nothing was written to them for this long. Default 24 hours. */
  orphanAgeMs?: number;
  wallClock?: () => number;
}

const ORPHAN_AGE_MS = 24 * 3600 * 1000;

/**
 * Deletes what is not needed any more: the manifest first, so that each checkpoint is whole or invisible at every moment, then the parts;
 * and what saves left behind that died long ago.
 * @returns the ids of the committed checkpoints that are gone
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
