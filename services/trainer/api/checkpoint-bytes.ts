/** How many bytes the checkpoints of runs take in the store. */
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { checkpointsOf } from '#work/checkpoint-keys.js';
import type { NamedEntry } from '#work/name-index.js';
import { runName } from '../run/run-log.js';

/** Number of runs whose checkpoints are listed at the same time. */
const sideBySide = 8;

/** Runs of version 0.1 are not counted. */
export async function checkpointBytes(
  store: ObjectStore,
  project: string,
  runs: readonly NamedEntry[],
  signal: AbortSignal,
): Promise<number> {
  const left = runs.values();
  let bytes = 0;
  const count = async (): Promise<void> => {
    for (const { id, uid } of left) {
      if (uid === undefined) continue;
      for await (const { sizeBytes } of listAll(store, `${checkpointsOf(runName(project, id), uid)}/`, { signal })) bytes += sizeBytes;
    }
  };
  await Promise.all(Array.from({ length: sideBySide }, count));
  return bytes;
}
