/** Keeps the checkpoint whose weights a run starts with, until the run has ended. */
import type { ObjectStore } from '#storage/object-store.js';
import { locateCheckpoint } from '#work/checkpoint-keys.js';
import { pinCheckpoint, unpinCheckpoint } from '#work/checkpoint-pins.js';
import { Incarnations } from '#work/incarnations.js';
import type { NamedCheckpoint } from '#work/named-checkpoints.js';
import type { RunView } from './run-state.js';

export async function pinFinetune(
  store: ObjectStore,
  { name, runUid }: NamedCheckpoint,
  holderUid: string,
  signal: AbortSignal,
): Promise<void> {
  await pinCheckpoint(store, { checkpoint: name, runUid, holderUid }, signal);
}

/** Errors are ignored, because a remaining pin only keeps a checkpoint longer, and the pins of a deleted run are gone. */
export async function unpinFinetune(store: ObjectStore, { run }: RunView, signal: AbortSignal): Promise<void> {
  const checkpoint = run.spec?.finetune ?? '';
  if (checkpoint === '') return;
  try {
    const { runUid } = await locateCheckpoint(new Incarnations(store), checkpoint, signal);
    await unpinCheckpoint(store, { checkpoint, runUid, holderUid: run.uid }, signal);
  } catch {
    // See above.
  }
}
