/**
 * Maps errors of lower libraries (storage, schedule) to those of libs/errors. Errors that are neither in this table nor in that of status.ts become
 * INTERNAL. Part of every service's `mapError`.
 */
import { Aborted, DataLoss, type DomainError, InvalidArgument, invalid, Unavailable, Violations } from '#errors/errors.js';
import { ScheduleError } from '#schedule/index.js';
import { CheckpointDamaged } from '#storage/checkpoint-manifest.js';
import { LogConflict, LogDamaged } from '#storage/log-record.js';
import { StoreFull, StoreUnavailable } from '#storage/object-store.js';
import { InvalidStoreUri } from '#storage/open-store.js';

type Row = (error: Error) => DomainError | undefined;

const table: readonly Row[] = [
  // Which place is full is what the operator needs to know first: the log says it, the caller is not shown it.
  row(
    StoreFull,
    (cause) => new Unavailable(`the object store, whose place ${cause.place} has no room left (${cause.why}),`, 5000, { cause }),
  ),
  // Errors that are not retryable mean rejected credentials or a missing bucket. That is the operator's fault, not the caller's, so it is INTERNAL.
  row(StoreUnavailable, (cause) => (cause.retryable ? new Unavailable('the object store', 1000, { cause }) : undefined)),
  row(CheckpointDamaged, (cause) => new DataLoss(cause.part, cause.message, { cause })),
  row(LogDamaged, (cause) => new DataLoss(cause.key, cause.why, { cause })),
  row(LogConflict, (cause) => new Aborted('log', cause.prefix, 'another writer was faster', { cause })),
  row(InvalidStoreUri, ({ uri, why }) => invalid('store', uri, `a store that can be opened (${why})`)),
  row(ScheduleError, (cause) => new InvalidArgument(new Violations().addAll(cause.violations).list, { cause })),
];

export function mapLowerErrors(error: unknown): DomainError | undefined {
  if (!(error instanceof Error)) return undefined;
  for (const map of table) {
    const mapped = map(error);
    if (mapped !== undefined) return mapped;
  }
  return undefined;
}

function row<E extends Error>(type: abstract new (...args: never[]) => E, map: (error: E) => DomainError | undefined): Row {
  return (error) => (error instanceof type ? map(error) : undefined);
}
