/** Errors of calls: the code of the Connect protocol, the service's sentence, and the fields that it names. */
export interface FieldViolation {
  /** Path of the field in the request, for example spec.batch_size. */
  readonly field: string;
  readonly description: string;
}

export class RpcError extends Error {
  override readonly name = 'RpcError';
  constructor(
    /** Code of the Connect protocol, or `unreachable` if nothing answered. */
    readonly code: string,
    message: string,
    readonly violations: readonly FieldViolation[] = [],
  ) {
    super(message);
  }
}

/** Codes after which the same call may succeed later, without a change by anybody. */
const passing = new Set(['unreachable', 'unavailable', 'deadline_exceeded', 'resource_exhausted', 'aborted', 'internal', 'unknown']);

export const mayPass = (error: unknown): boolean => error instanceof RpcError && passing.has(error.code);

/** The error that an answer with an error status means. `body` is what it contains, which is not JSON if a proxy answered. */
export function errorOf(status: number, body: string): RpcError {
  try {
    return errorOfJson(JSON.parse(body), codeOfStatus(status));
  } catch {
    return new RpcError(codeOfStatus(status), `The gateway answered with HTTP status ${status}.`);
  }
}

/** The error of a Connect error object, which also ends streams. */
export function errorOfJson(error: unknown, otherwise = 'unknown'): RpcError {
  const { code, message, details } = (error ?? {}) as { code?: unknown; message?: unknown; details?: unknown };
  return new RpcError(
    typeof code === 'string' ? code : otherwise,
    typeof message === 'string' && message !== '' ? message : 'The service gave no reason.',
    Array.isArray(details) ? details.flatMap(violationsOf) : [],
  );
}

function violationsOf(detail: unknown): FieldViolation[] {
  const { type, value, debug } = (detail ?? {}) as { type?: unknown; value?: unknown; debug?: { fieldViolations?: unknown } };
  if (type !== 'google.rpc.BadRequest') return [];
  if (Array.isArray(debug?.fieldViolations)) {
    return debug.fieldViolations.map(({ field = '', description = '' }) => ({ field: String(field), description: String(description) }));
  }
  return typeof value === 'string' ? decodeBadRequest(Uint8Array.from(atob(value), (c) => c.charCodeAt(0))) : [];
}

/** google.rpc.BadRequest: repeated FieldViolation field_violations = 1 { string field = 1; string description = 2; }. */
function decodeBadRequest(bytes: Uint8Array): FieldViolation[] {
  return fields(bytes)
    .filter(({ number }) => number === 1)
    .map(({ bytes: violation }) => {
      const parts = new Map(fields(violation).map(({ number, bytes: text }) => [number, new TextDecoder().decode(text)]));
      return { field: parts.get(1) ?? '', description: parts.get(2) ?? '' };
    });
}

/** The length-delimited fields of a message that has no others. */
function fields(bytes: Uint8Array): { number: number; bytes: Uint8Array }[] {
  const found: { number: number; bytes: Uint8Array }[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; at < bytes.length; shift += 7) {
      const byte = bytes[at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) !== 2) return found;
    const length = varint();
    found.push({ number: tag >> 3, bytes: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}

function codeOfStatus(status: number): string {
  const codes: Record<number, string> = { 400: 'internal', 401: 'unauthenticated', 403: 'permission_denied', 404: 'unimplemented' };
  return codes[status] ?? ([429, 502, 503, 504].includes(status) ? 'unavailable' : 'unknown');
}
