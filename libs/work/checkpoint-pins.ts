/**
 * Protects checkpoints that an evaluation still needs. A pin is a small object for one evaluation and checkpoint: it is created before the evaluation
 * is queued and removed when the evaluation has ended. Whoever deletes old checkpoints reads the pins first.
 */
import { listAll, type ObjectStore } from '#storage/object-store.js';

/** `checkpoint` is projects/P/runs/R/checkpoints/C. */
export async function pinCheckpoint(store: ObjectStore, checkpoint: string, evaluation: string, signal?: AbortSignal): Promise<void> {
  await store.put(pinKey(checkpoint, evaluation), Buffer.from('{}'), { contentType: 'application/json', signal });
}

export async function unpinCheckpoint(store: ObjectStore, checkpoint: string, evaluation: string, signal?: AbortSignal): Promise<void> {
  await store.delete(pinKey(checkpoint, evaluation), { signal });
}

/** Ids of a run's pinned checkpoints. `run` is projects/P/runs/R. */
export async function pinnedCheckpoints(store: ObjectStore, run: string, signal?: AbortSignal): Promise<Set<string>> {
  const prefix = `${run}/checkpoint-pins/`;
  const ids = new Set<string>();
  for await (const { key } of listAll(store, prefix, { signal })) ids.add(key.slice(prefix.length).split('/')[0]!);
  return ids;
}

function pinKey(checkpoint: string, evaluation: string): string {
  const at = checkpoint.indexOf('/checkpoints/');
  return `${checkpoint.slice(0, at)}/checkpoint-pins/${checkpoint.slice(at + '/checkpoints/'.length)}/${evaluation}`;
}
