/** Failures that every further attempt at the same work would meet again: retrying them only wastes time. */
import { InvalidArgument } from '#errors/errors.js';
import { UnknownModel } from '#nn/models/registry.js';

type ErrorClass = abstract new (...args: never[]) => Error;

/** The failures that training and evaluation share. */
const shared: readonly ErrorClass[] = [InvalidArgument, UnknownModel];

/** A test for the shared failures and a service's own ones. */
export function deterministicFailures(own: readonly ErrorClass[]): (error: unknown) => boolean {
  const classes = [...shared, ...own];
  return (error) => classes.some((known) => error instanceof known);
}
