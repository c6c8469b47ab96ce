/**
 * Errors of libraries that know no rpc (storage, schedule, work), by the name they carry: those libraries stand beside or below this one
 * and import nothing of it, so the table goes by name; map-lower-errors.test.ts holds it to the real classes. What is in neither table is
 * INTERNAL. Part of every service's `mapError`.
 */
import { Aborted, DataLoss, type DomainError, InvalidArgument, invalid, Unavailable, Violations } from '#errors/errors.js';

/** The fields that the table reads, all of them optional: the name alone does not prove the shape. */
interface LowerError extends Error {
  readonly retryable?: boolean;
  readonly violations?: InvalidArgument['violations'];
  readonly key?: string;
  readonly why?: string;
  readonly part?: string;
  readonly prefix?: string;
  readonly uri?: string;
}

const table: Readonly<Record<string, (error: LowerError) => DomainError | undefined>> = {
  // libs/storage. Not retryable means refused credentials or a missing bucket: a fault of ours, INTERNAL.
  StoreUnavailable: (cause) => (cause.retryable === false ? undefined : new Unavailable('the object store', 1000, { cause })),
  CheckpointDamaged: (cause) => new DataLoss(cause.part ?? 'a checkpoint part', cause.message, { cause }),
  LogDamaged: (cause) => new DataLoss(cause.key ?? 'a log record', cause.why ?? cause.message, { cause }),
  LogConflict: (cause) => new Aborted('log', cause.prefix ?? '', 'another writer was faster', { cause }),
  InvalidStoreUri: (cause) => invalid('store', cause.uri, `a store that can be opened (${cause.why})`),
  // libs/work.
  TooManyCollisions: (cause) => new Unavailable('the log, which others write to all the time,', 1000, { cause }),
  // libs/schedule: its violations have the shape of ours.
  ScheduleError: (cause) => cause.violations && new InvalidArgument(new Violations().addAll(cause.violations).list, { cause }),
};

export function mapLowerErrors(error: unknown): DomainError | undefined {
  return error instanceof Error ? table[error.name]?.(error) : undefined;
}
