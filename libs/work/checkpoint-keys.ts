/** Where the checkpoints of a run lie: the name of a checkpoint is projects/P/runs/R/checkpoints/C, and its objects are below the uid of its run. */
import { NotFound } from '#errors/errors.js';
import { type Incarnations, incarnationFolder } from './incarnations.js';

export interface LocatedCheckpoint {
  readonly runUid: string;
  readonly manifestKey: string;
}

const middle = '/checkpoints/';

/** projects/P/runs/R and C of projects/P/runs/R/checkpoints/C. */
export function partsOfCheckpoint(checkpoint: string): { readonly run: string; readonly id: string } {
  const at = checkpoint.indexOf(middle);
  return { run: checkpoint.slice(0, at), id: checkpoint.slice(at + middle.length) };
}

/** The prefix of all checkpoints of a run. */
export const checkpointsOf = (run: string, runUid: string): string => `${incarnationFolder(run, runUid)}/checkpoints`;

export function manifestKeyOf(checkpoint: string, runUid: string): string {
  const { run, id } = partsOfCheckpoint(checkpoint);
  return `${checkpointsOf(run, runUid)}/${id}/manifest.json`;
}

/**
 * The place of a checkpoint of the run that has the name now. Does not check that the checkpoint exists.
 * @throws NotFound if there is no such run; FailedPrecondition if it was stored by version 0.1
 */
export async function locateCheckpoint(incarnations: Incarnations, checkpoint: string, signal?: AbortSignal): Promise<LocatedCheckpoint> {
  const { run } = partsOfCheckpoint(checkpoint);
  const { uid } = await incarnations.current('run', run, signal).catch((cause) => {
    throw cause instanceof NotFound ? new NotFound('checkpoint', checkpoint, { cause }) : cause;
  });
  return { runUid: uid, manifestKey: manifestKeyOf(checkpoint, uid) };
}
