/** Request ids (aip.dev/155): a create repeated with the same id gives the same answer, once. */
import { createHash } from 'node:crypto';
import type { Violations } from '#errors/errors.js';

const requestIdPattern = /^[A-Za-z0-9_-]{1,64}$/;
const requestIdRule = 'empty, or 1 to 64 of letters, digits, "_" and "-" (a UUID, for example)';

/** Empty is allowed: the call is then not idempotent. Returns whether it is well formed. */
export function checkRequestId(violations: Violations, requestId: string, field = 'request_id'): boolean {
  return violations.check(requestId === '' || requestIdPattern.test(requestId), field, requestId, requestIdRule);
}

/** An id derived from project and request id, equal for equal input: `<prefix>-` and 20 hex digits. Valid as a resource id. */
export function idFromRequest(prefix: string, project: string, requestId: string): string {
  const hex = createHash('sha256')
    .update(JSON.stringify([prefix, project, requestId]))
    .digest('hex');
  return `${prefix}-${hex.slice(0, 20)}`;
}
