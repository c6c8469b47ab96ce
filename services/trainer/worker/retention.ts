/**
 * Deletes checkpoints that are no longer needed. Only checkpoints in the log are deleted, so that a worker that has lost its claim and has an
 * old view of the log cannot delete checkpoints of its successor.
 */
import { deleteCheckpoints } from '#storage/checkpoint-retention.js';
import type { ObjectStore } from '#storage/object-store.js';
import { checkpointsOf } from '#work/checkpoint-keys.js';
import { pinnedCheckpoints } from '#work/checkpoint-pins.js';
import { isUnmeasured } from '../run/adaptive-cutoff.js';
import type { KnownCheckpoint, RunView } from '../run/run-state.js';

export interface RetentionOptions {
  readonly view: RunView;
  /** Number of newest checkpoints that are kept. Those that an attempt could not load do not count: no attempt could go back to them. */
  readonly keep: number;
  /** True if checkpoints at the end of epochs are evaluated. */
  readonly evaluates: boolean;
  readonly signal: AbortSignal;
}

/** @returns the ids of the deleted checkpoints */
export async function deleteOldCheckpoints(store: ObjectStore, options: RetentionOptions): Promise<string[]> {
  const { view, keep, signal } = options;
  const { name, uid } = view.run;
  const known = new Set(view.checkpoints.map(({ name }) => idOf(name)));
  const needed = new Set([...neededIds(options), ...(await pinnedCheckpoints(store, name, uid, signal))]);
  return deleteCheckpoints(store, checkpointsOf(name, uid), {
    unneeded: (committed) => {
      const ours = committed.filter(({ id }) => known.has(id));
      return ours.length <= keep ? [] : ours.filter(({ id }) => !needed.has(id));
    },
    signal,
  });
}

/** The newest checkpoints, of which as many as `keep` are never deleted. Those that could not be loaded do not count. */
export const newestKept = ({ checkpoints }: RunView, keep: number): readonly KnownCheckpoint[] =>
  checkpoints.filter(({ damaged }) => !damaged).slice(0, keep);

/** The checkpoints to keep: the newest ones, the best one, and those that wait for their evaluation or for a measurement of the cutoff. */
function neededIds({ view, keep, evaluates }: RetentionOptions): string[] {
  const unmeasured = view.checkpoints.filter(({ step }) => isUnmeasured(view, step));
  return [...newestKept(view, keep), ...(evaluates ? view.unevaluated : []), ...unmeasured, { name: view.run.bestCheckpoint }].map(
    ({ name }) => idOf(name),
  );
}

const idOf = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
