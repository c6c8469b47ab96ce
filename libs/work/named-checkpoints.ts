/**
 * Finds the checkpoint that a request names, by its id or as `latest` or `best`. Which checkpoint those are stands in the log of its run, whose records
 * are RunEvents: the newest checkpoint, and the newest one that an evaluation called the best so far.
 */
import { NotFound } from '#errors/errors.js';
import { Run, RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { listCheckpoints } from '#storage/checkpoint.js';
import type { ObjectStore } from '#storage/object-store.js';
import { RecordLog } from '#storage/record-log.js';
import { checkpointsOf, type LocatedCheckpoint, locateCheckpoint, manifestKeyOf, partsOfCheckpoint } from './checkpoint-keys.js';
import { FoldedLog } from './folded-log.js';
import { type Incarnations, incarnationFolder } from './incarnations.js';

export interface NamedCheckpoint extends LocatedCheckpoint {
  /** With the checkpoint's own id. */
  readonly name: string;
}

export type CheckpointAlias = 'latest' | 'best';

/** Full names; empty if there is no such checkpoint yet. */
export type AliasedCheckpoints = Readonly<Record<CheckpointAlias, string>>;

const isCheckpointAlias = (id: string): id is CheckpointAlias => id === 'latest' || id === 'best';

/**
 * The checkpoint of the run that has the name now. Whether a checkpoint that is named by its own id exists is not checked.
 * @throws NotFound if there is no such run, or no `latest` or `best` yet; FailedPrecondition if the run was stored by version 0.1
 */
export async function findCheckpoint(
  store: ObjectStore,
  incarnations: Incarnations,
  name: string,
  signal?: AbortSignal,
): Promise<NamedCheckpoint> {
  const located = await locateCheckpoint(incarnations, name, signal);
  const { run, id } = partsOfCheckpoint(name);
  if (!isCheckpointAlias(id)) return { name, ...located };
  const found = (await aliasedCheckpoints(store, run, located.runUid, signal))[id];
  if (found === '') throw new NotFound('checkpoint', name);
  return { name: found, runUid: located.runUid, manifestKey: manifestKeyOf(found, located.runUid) };
}

/** @param run projects/P/runs/R */
export async function aliasedCheckpoints(
  store: ObjectStore,
  run: string,
  runUid: string,
  signal?: AbortSignal,
): Promise<AliasedCheckpoints> {
  const log = new FoldedLog<RunEvent, AliasedCheckpoints>({
    log: new RecordLog(store, `${incarnationFolder(run, runUid)}/log`),
    codec: {
      encode: () => {
        throw new Error('this log is only read');
      },
      decode: RunEvent.fromJSON,
    },
    apply: (view = { latest: '', best: '' }, { event }) => {
      if (event?.$case === 'checkpoint') return { ...view, latest: event.value.checkpoint };
      return event?.$case === 'evaluation' && event.value.best ? { ...view, best: event.value.checkpoint } : view;
    },
    snapshots: {
      // The trainer's snapshots have the run as its API shows it.
      decode: (state) => {
        const { latestCheckpoint, bestCheckpoint } = Run.fromJSON((state as { readonly run?: unknown }).run ?? {});
        return { latest: latestCheckpoint, best: bestCheckpoint };
      },
      encode: () => null,
      every: Number.POSITIVE_INFINITY,
    },
  });
  return (await log.refresh(signal)) ?? (await imported(store, run, runUid, signal));
}

/** A run that was imported has checkpoints but no log; nothing says which one is the best. */
async function imported(store: ObjectStore, run: string, runUid: string, signal: AbortSignal | undefined): Promise<AliasedCheckpoints> {
  const [newest] = await listCheckpoints(store, checkpointsOf(run, runUid), { signal });
  return { latest: newest === undefined ? '' : `${run}/checkpoints/${newest.id}`, best: '' };
}
