/**
 * Deletes checkpoints that nobody needs any more. Only those that the log knows are ever touched: an owner that comes back late, and has an
 * old log in view, can then delete nothing that its successor made.
 */
import { deleteCheckpoints } from '#storage/checkpoint-retention.js';
import type { ObjectStore } from '#storage/object-store.js';
import { pinnedCheckpoints } from '#work/checkpoint-pins.js';
import type { RunView } from '../run/run-state.js';

export interface RetentionOptions {
  /** projects/P/runs/R/checkpoints */
  readonly prefix: string;
  readonly view: RunView;
  /** How many of the newest stay. */
  readonly keep: number;
  /** True where checkpoints at epoch boundaries wait for their evaluation. */
  readonly evaluates: boolean;
  readonly signal: AbortSignal;
}

/** @returns the ids that are gone */
export async function deleteOldCheckpoints(store: ObjectStore, options: RetentionOptions): Promise<string[]> {
  const { prefix, view, keep, signal } = options;
  const known = new Set(view.checkpoints.map(({ name }) => idOf(name)));
  const needed = new Set([...neededIds(options), ...(await pinnedCheckpoints(store, view.run.name, signal))]);
  return deleteCheckpoints(store, prefix, {
    unneeded: (committed) => {
      const ours = committed.filter(({ id }) => known.has(id));
      return ours.length <= keep ? [] : ours.filter(({ id }) => !needed.has(id));
    },
    signal,
  });
}

/** The newest ones, the best one, those that wait for their evaluation. */
function neededIds({ view, keep, evaluates }: RetentionOptions): string[] {
  const newest = view.checkpoints.slice(0, keep);
  return [...newest, ...(evaluates ? view.unevaluated : []), { name: view.run.bestCheckpoint }].map(({ name }) => idOf(name));
}

const idOf = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
