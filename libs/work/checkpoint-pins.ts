/**
 * Protects checkpoints that an evaluation, or a run that starts from their weights, still needs. A pin is a small object for one holder and checkpoint:
 * it is created before the holder is queued and removed when the holder has ended. Whoever deletes old checkpoints reads the pins first.
 */
import { listAll, type ObjectStore, objectExists } from '#storage/object-store.js';
import { partsOfCheckpoint } from './checkpoint-keys.js';
import { incarnationFolder } from './incarnations.js';

export interface Pin {
  /** projects/P/runs/R/checkpoints/C */
  readonly checkpoint: string;
  readonly runUid: string;
  /** Uid of the evaluation or run. */
  readonly holderUid: string;
}

export async function pinCheckpoint(store: ObjectStore, pin: Pin, signal?: AbortSignal): Promise<void> {
  await store.put(pinKey(pin), Buffer.from('{}'), { contentType: 'application/json', signal });
}

export async function unpinCheckpoint(store: ObjectStore, pin: Pin, signal?: AbortSignal): Promise<void> {
  await store.delete(pinKey(pin), { signal });
}

export async function isPinned(store: ObjectStore, pin: Pin, signal?: AbortSignal): Promise<boolean> {
  return await objectExists(store, pinKey(pin), { signal });
}

/** Ids of a run's pinned checkpoints. `run` is projects/P/runs/R. */
export async function pinnedCheckpoints(store: ObjectStore, run: string, runUid: string, signal?: AbortSignal): Promise<Set<string>> {
  const prefix = pinFolder(run, runUid);
  const ids = new Set<string>();
  for await (const { key } of listAll(store, prefix, { signal })) ids.add(key.slice(prefix.length).split('/')[0]!);
  return ids;
}

const pinFolder = (run: string, runUid: string): string => `${incarnationFolder(run, runUid)}/checkpoint-pins/`;

function pinKey({ checkpoint, runUid, holderUid }: Pin): string {
  const { run, id } = partsOfCheckpoint(checkpoint);
  return `${pinFolder(run, runUid)}${id}/${holderUid}`;
}
