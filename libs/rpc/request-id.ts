/** Request ids (aip.dev/155): a create that is repeated with the same id has one effect, and returns the same response. */
import { createHash } from 'node:crypto';
import type { Violations } from '#errors/errors.js';

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
