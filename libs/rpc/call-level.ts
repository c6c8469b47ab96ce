/** How much the end of a call matters to whoever reads the log: what the services and the gateway, which answers for them, judge alike. */

/** Statuses that are no news if a read ends with them. */
export const uneventful: ReadonlySet<string> = new Set(['OK', 'CANCELLED', 'DEADLINE_EXCEEDED']);

/** Statuses that are not the server's fault: they are logged at `info`, and all others at `warn`. */
const callersFault: ReadonlySet<string> = new Set([
  'OK',
  'CANCELLED',
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'ABORTED',
  'FAILED_PRECONDITION',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
]);

export const levelOfStatus = (code: string): 'info' | 'warn' => (callersFault.has(code) ? 'info' : 'warn');
