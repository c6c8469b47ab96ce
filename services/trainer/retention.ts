/**
 * Deletes checkpoints that nobody needs any more. Only those that the log knows are ever touched: an owner that comes back late, and has an
 * old log in view, can then delete nothing that its successor made.
 */
import { listCheckpoints } from '#storage/checkpoint.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { pinnedCheckpoints } from '#work/checkpoint-pins.js';
import type { RunView } from './run-state.js';

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
  const { prefix, view, signal } = options;
  const known = new Set(view.checkpoints.map(({ name }) => idOf(name)));
  const stored = (await listCheckpoints(store, prefix, { signal })).filter(({ id }) => known.has(id));
  if (stored.length <= options.keep) return [];
  const needed = new Set([...neededIds(options), ...(await pinnedCheckpoints(store, view.run.name, signal))]);
  const old = stored.filter(({ id }) => !needed.has(id));
  for (const { id, manifestKey } of old) {
    // The manifest first: at every moment a checkpoint is whole or invisible.
    await store.delete(manifestKey, { signal });
    for await (const { key } of listAll(store, `${prefix}/${id}/`, { signal })) await store.delete(key, { signal });
  }
  return old.map(({ id }) => id);
}

/** The newest ones, the best one, those that wait for their evaluation. */
function neededIds({ view, keep, evaluates }: RetentionOptions): string[] {
  const newest = view.checkpoints.slice(0, keep);
  return [...newest, ...(evaluates ? view.unevaluated : []), { name: view.run.bestCheckpoint }].map(({ name }) => idOf(name));
}

const idOf = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
