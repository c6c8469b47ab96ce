/**
 * The queue of version 0.1, which this version never reads for work: `queue/runs/P/R` and `queue/evaluations/P/E`. What waits there waits for ever, so
 * services name it when they start, and deleting a run or an evaluation of version 0.1 removes its entry.
 */
import { type ObjectStore, objectExists, StoreUnavailable } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';

/** What version 0.1 queued. */
export type QueuedKind = 'run' | 'evaluation';

/** Largest number of entries that are counted. */
const counted = 1000;
/** Number of entries that a warning names. */
const named = 5;

const prefixOf = (kind: QueuedKind): string => `queue/${kind}s/`;

/** Warns of work that version 0.1 left in its queue. A store that does not answer is not an error here. */
export async function warnOfQueue01(store: ObjectStore, kind: QueuedKind, logger: Logger, signal?: AbortSignal): Promise<void> {
  const prefix = prefixOf(kind);
  try {
    const { objects } = await store.list(prefix, { limit: counted, signal });
    if (objects.length === 0) return;
    const names = objects.slice(0, named).map(({ key }) => `projects/${key.slice(prefix.length).replace('/', `/${kind}s/`)}`);
    logger.warn(
      { count: objects.length, at_least: objects.length === counted, names, prefix },
      `version 0.1 left ${kind}s in its queue, and this version never starts them: finish them with version 0.1, or delete them`,
    );
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    logger.debug({ error, prefix }, 'the queue of version 0.1 could not be looked at');
  }
}

/** Removes an entry. @returns false if there is none */
export async function removeFromQueue01(
  store: ObjectStore,
  kind: QueuedKind,
  project: string,
  id: string,
  signal?: AbortSignal,
): Promise<boolean> {
  const key = `${prefixOf(kind)}${project}/${id}`;
  if (!(await objectExists(store, key, { signal }))) return false;
  await store.delete(key, { signal });
  return true;
}
