/** Finds where an attempt starts: at the newest readable checkpoint, or at step 0 with initial or other weights. */
import type { Program } from '#engine/index.js';
import { hidePlaces } from '#errors/hide-places.js';
import { allocateMemory } from '#native/memory.js';
import { type LoadedCheckpoint, loadCheckpoint, loadLatestValid } from '#storage/checkpoint.js';
import { ObjectNotFound } from '#storage/object-store.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import { manifestKeyOf } from '#work/checkpoint-keys.js';
import { finetuneManifest } from '../run/finetune-pin.js';
import type { AttemptContext } from './attempt-context.js';
import { emptySums } from './epoch-means.js';
import { OtherNumerics } from './exact-numerics.js';
import { finetuneFrom } from './finetune.js';
import { newestKept } from './retention.js';
import { type Progress, restore } from './training-state.js';

/** All checkpoints in the log are damaged or missing. */
class NoWholeCheckpoint extends Error {
  override readonly name = 'NoWholeCheckpoint';
  constructor(readonly checkpoints: readonly string[]) {
    super(`all ${checkpoints.length} checkpoints of the run are damaged or missing; the newest is ${checkpoints[0]}`);
  }
}

/**
 * Fills the program, and says in the log where the attempt resumes. `signal` ends the reading of a checkpoint.
 * @throws NoWholeCheckpoint, OtherNumerics, FinetuneMismatch, StartingPointGone; the signal's reason
 */
export async function startingPoint(context: AttemptContext, program: Program, signal: AbortSignal): Promise<Progress> {
  const { claimed, inheritance } = context;
  if (inheritance !== undefined) {
    await reportResumed(context, inheritance.progress.step, '', false, true);
    return inheritance.progress;
  }
  const newest = await newestWhole(context, signal);
  if (newest !== undefined) return await resume(context, program, newest.name, newest.loaded);
  // Starting again from the beginning without an error would hide the loss.
  const { checkpoints, run } = claimed.view;
  if (checkpoints.length > 0) throw new NoWholeCheckpoint(checkpoints.map(({ name }) => name));
  await initialize(context, program, signal);
  if (run.attempt > 1) await reportResumed(context, 0, '', false);
  return { step: 0, sums: emptySums(0), undecodable: [] };
}

async function newestWhole(context: AttemptContext, signal: AbortSignal): Promise<{ name: string; loaded: LoadedCheckpoint } | undefined> {
  const { store, claimed, logger, spec } = context;
  const { uid } = claimed.view.run;
  const nameOf = new Map(claimed.view.checkpoints.map(({ name }) => [manifestKeyOf(name, uid), name]));
  const kept = new Set(newestKept(claimed.view, spec.saveCkptNum).map(({ name }) => name));
  const onDamaged = async (key: string, error: Error): Promise<void> => {
    const checkpoint = nameOf.get(key) as string;
    // Old checkpoints are deleted when newer ones are committed.
    if (error instanceof ObjectNotFound && !kept.has(checkpoint)) return;
    logger.error({ error, checkpoint }, 'a checkpoint cannot be loaded and was skipped');
    await context.append({ $case: 'checkpointSkipped', value: { checkpoint, reason: hidePlaces(error.message) } });
  };
  const loaded = await loadLatestValid(store, [...nameOf.keys()], onDamaged, { allocate: allocateMemory, signal });
  return loaded && { name: nameOf.get(loaded.manifestKey) as string, loaded };
}

async function resume(context: AttemptContext, program: Program, name: string, loaded: LoadedCheckpoint): Promise<Progress> {
  const { spec, logger } = context;
  const [wanted, found] = [loaded.manifest.fingerprint, fingerprintLine(program.fingerprint)];
  const differs = wanted !== found;
  // Exact runs are checked before they are claimed (exact-numerics.ts); a checkpoint that came later, or a newer one whose parts are
  // damaged, may still lead here.
  if (differs && spec.exact) throw new OtherNumerics(name, wanted, found);
  if (differs) logger.warn({ checkpoint: name, wanted, found }, 'numerics differ from the checkpoint');
  const progress = await restore(program, name, loaded);
  await reportResumed(context, progress.step, name, differs);
  return progress;
}

async function initialize({ store, claimed, spec, logger }: AttemptContext, program: Program, signal: AbortSignal): Promise<void> {
  await program.initialize(spec.seed);
  const { finetune } = spec;
  if (finetune === '') return;
  const manifestKey = await finetuneManifest(store, claimed.view, signal);
  const loaded = await loadCheckpoint(store, manifestKey, { groups: ['weights'], signal });
  for (const notice of await finetuneFrom(program, finetune, loaded)) logger.info({ checkpoint: finetune, notice }, 'finetuning');
}

async function reportResumed(
  context: AttemptContext,
  fromStep: number,
  checkpoint: string,
  fingerprintChanged: boolean,
  inMemory?: boolean,
): Promise<void> {
  const { attempt } = context.claimed.view.run;
  await context.append({ $case: 'resumed', value: { fromStep: BigInt(fromStep), attempt, checkpoint, fingerprintChanged, inMemory } });
}
