/** Keeps the checkpoint whose weights a run starts with, until the run has ended, and finds it again. */
import { NotFound } from '#errors/errors.js';
import type { ObjectStore } from '#storage/object-store.js';
import { locateCheckpoint, partsOfCheckpoint } from '#work/checkpoint-keys.js';
import { isPinned, pinCheckpoint, unpinCheckpoint } from '#work/checkpoint-pins.js';
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

/** The checkpoint that a run was created to start from does not exist any more. Its name may belong to a checkpoint of another training by now. */
export class StartingPointGone extends Error {
  override readonly name = 'StartingPointGone';
  constructor(readonly checkpoint: string) {
    const { run } = partsOfCheckpoint(checkpoint);
    super(`the run cannot start from ${checkpoint}: ${run} was deleted after this run had been created; create the run again`);
  }
}

/**
 * Key of the manifest of the checkpoint that the run starts from. The pin tells whether the name still belongs to the run that it belonged to when
 * this run was created.
 * @throws StartingPointGone
 */
export async function finetuneManifest(store: ObjectStore, { run }: RunView, signal: AbortSignal): Promise<string> {
  const checkpoint = run.spec?.finetune ?? '';
  const found = await locateCheckpoint(new Incarnations(store), checkpoint, signal).catch((error) => {
    throw error instanceof NotFound ? new StartingPointGone(checkpoint) : error;
  });
  const pin = { checkpoint, runUid: found.runUid, holderUid: run.uid };
  if (!(await isPinned(store, pin, signal))) throw new StartingPointGone(checkpoint);
  return found.manifestKey;
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
