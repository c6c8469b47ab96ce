/**
 * Errors of libraries that know no rpc (storage, schedule), by the name they carry: those libraries stand beside or below this one and
 * import nothing of it, so the table goes by name. The default of every service's `mapError`.
 */
import { type DomainError, InvalidArgument, Unavailable, Violations } from './errors.js';

const table: Readonly<Record<string, (error: Error) => DomainError | undefined>> = {
  // libs/storage: no answer, or one that says nothing. Not retryable means refused credentials or a missing bucket: a fault of ours.
  StoreUnavailable: (cause) =>
    (cause as { retryable?: boolean }).retryable === false ? undefined : new Unavailable('the object store', 1000, { cause }),
  // libs/schedule: `violations` has the shape of ours.
  ScheduleError: (cause) => {
    const { violations } = cause as Partial<InvalidArgument>;
    return violations && new InvalidArgument(new Violations().addAll(violations).list, { cause });
  },
};

export function mapLowerErrors(error: unknown): DomainError | undefined {
  return error instanceof Error ? table[error.name]?.(error) : undefined;
}
