/** Request ids (aip.dev/155): a create that is repeated with the same id has one effect, and returns what it created. */
import { createHash } from 'node:crypto';
import { AlreadyExists, type Violations } from '#errors/errors.js';

const requestIdPattern = /^[A-Za-z0-9_-]{1,64}$/;
const requestIdRule = 'empty, or 1 to 64 letters, digits, "_" or "-" (a UUID, for example)';

/** An empty id is allowed; the call is then not idempotent. Returns whether the id is well-formed. */
export function checkRequestId(violations: Violations, requestId: string, field = 'request_id'): boolean {
  return violations.check(requestId === '' || requestIdPattern.test(requestId), field, requestId, requestIdRule);
}

/** Derives an id from project and request id; equal inputs give equal ids. It is `<prefix>-` and 20 hex digits, which is valid as a resource id. */
export function idFromRequest(prefix: string, project: string, requestId: string): string {
  const hex = createHash('sha256')
    .update(JSON.stringify([prefix, project, requestId]))
    .digest('hex');
  return `${prefix}-${hex.slice(0, 20)}`;
}

/** What is kept of the request that created a resource. */
export interface Creation {
  /** Empty if the request had none. */
  readonly requestId: string;
  /** Equal for equal contents of the request. */
  readonly digest: string;
  readonly time?: Date | undefined;
}

/**
 * Returns if `request` repeats the request that created the resource: both have the same request id, which is not empty, and the same content.
 * @param words what an equal and another digest mean, for the message
 * @throws AlreadyExists, which says when the resource was created and what differs
 */
export function checkRepeated(
  kind: string,
  name: string,
  earlier: Creation,
  request: Omit<Creation, 'time'>,
  words = { same: 'the same spec', other: 'another spec' },
): void {
  const sameContent = earlier.digest === request.digest;
  const sameRequest = request.requestId !== '' && request.requestId === earlier.requestId;
  if (sameRequest && sameContent) return;
  const when = earlier.time === undefined ? 'it was created' : `it was created at ${earlier.time.toISOString()}`;
  const what = sameContent ? words.same : words.other;
  if (sameRequest) throw new AlreadyExists(kind, name, `${when} with the request id ${request.requestId} and ${what}`);
  const how = request.requestId === '' ? 'by an earlier request, and this one has no request id; it has' : `with another request id and`;
  throw new AlreadyExists(kind, name, `${when} ${how} ${what}`);
}
