/** Failures that would happen again in every further attempt at the same work, so retries would only waste time. */
import { InvalidArgument, NeverFits } from '#errors/errors.js';
import { UnknownModel } from '#nn/models/registry.js';

type ErrorClass = abstract new (...args: never[]) => Error;

/** The failures that training and evaluation share. */
const shared: readonly ErrorClass[] = [InvalidArgument, NeverFits, UnknownModel];

/** Returns a test for the shared failures and for those of a service. */
export function deterministicFailures(own: readonly ErrorClass[]): (error: unknown) => boolean {
  const classes = [...shared, ...own];
  return (error) => classes.some((known) => error instanceof known);
}
