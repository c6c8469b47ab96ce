/**
 * The single mapping between the errors of errors.ts and gRPC: the status code, the google.rpc details in `grpc-status-details-bin`, and the reverse
 * on the client. An error that is not in the table becomes INTERNAL with a fixed message; its text never leaves the process.
 */
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import {
  Aborted,
  AlreadyExists,
  Cancelled,
  DataLoss,
  DeadlineExceeded,
  DomainError,
  describeViolation,
  FailedPrecondition,
  InvalidArgument,
  NeverFits,
  NotFound,
  PermissionDenied,
  RemoteError,
  ResourceExhausted,
  Unauthenticated,
  Unavailable,
  type Violation,
} from '#errors/errors.js';
import { hidePlaces, type Places } from '#errors/hide-places.js';
import { redacted } from '#errors/redact.js';
import { BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo } from '#protocol/google/rpc/error_details.js';
import { Status } from '#protocol/google/rpc/status.js';

const errorDomain = 'dropstream';
const detailsKey = 'grpc-status-details-bin';
/** Clients reject more than 8 KiB of headers, so message and details together must stay below that as they are sent. */
const maxSentBytes = 7 << 10;
/** Bounds of a status in which everything has room; halved until it is small enough. */
const maxViolations = 24;
const maxText = 1000;
const maxViolationText = 600;
/** Characters of a text that are looked at. */
const longestRead = 4 * maxText;

interface Detail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

type Fields = Readonly<Record<string, string>>;

/** How texts are made ready to be sent. */
interface Fit {
  /** Share of the bounds of a status in which everything has room. */
  readonly share: number;
  /** Shortened, and without places of the server. */
  readonly text: (text: string) => string;
  /** Shortened: what the caller has given. */
  readonly given: (text: string) => string;
}

interface Row<E extends DomainError> {
  readonly type: abstract new (...args: never[]) => E;
  readonly code: status;
  /** ErrorInfo.reason; default: the name of the code. Distinguishes errors that share a code. */
  readonly reason?: string;
  /** ErrorInfo.metadata, which contains the ids. */
  readonly fields: (error: E) => Fields;
  /** Details besides ErrorInfo. */
  readonly details?: (error: E, fit: Fit) => Detail[];
  /** Restores the error on the client. */
  readonly restore: (fields: Fields, details: ReadonlyMap<string, Uint8Array>, cause: unknown) => E;
}

function row<E extends DomainError>(r: Row<E>): Row<DomainError> {
  return r as unknown as Row<DomainError>;
}

const url = (name: string): string => `type.googleapis.com/google.rpc.${name}`;

function resource({ kind, resource: name, message }: { kind: string; resource: string; message: string }, { text }: Fit): Detail {
  const info = { resourceType: text(kind), resourceName: text(name), owner: '', description: text(message) };
  const value = ResourceInfo.encode(info).finish();
  return { typeUrl: url('ResourceInfo'), value };
}

const named = (e: { kind: string; resource: string; why?: string }): Fields => ({
  kind: e.kind,
  resource: e.resource,
  ...(e.why === undefined ? {} : { why: e.why }),
});

/** status.test.ts tests every row. */
export const statusTable: readonly Row<DomainError>[] = [
  row<InvalidArgument>({
    type: InvalidArgument,
    code: status.INVALID_ARGUMENT,
    fields: () => ({}),
    details: (e, fit) => [{ typeUrl: url('BadRequest'), value: encodeViolations(e.violations, fit) }],
    restore: (_, details, cause) => new InvalidArgument(decodeViolations(details.get(url('BadRequest'))), { cause }),
  }),
  row<NotFound>({
    type: NotFound,
    code: status.NOT_FOUND,
    fields: named,
    details: (e, fit) => [resource(e, fit)],
    restore: (f, _, cause) => new NotFound(f.kind ?? '', f.resource ?? '', { cause, why: f.why ?? '' }),
  }),
  row<AlreadyExists>({
    type: AlreadyExists,
    code: status.ALREADY_EXISTS,
    fields: named,
    details: (e, fit) => [resource(e, fit)],
    restore: (f, _, cause) => new AlreadyExists(f.kind ?? '', f.resource ?? '', f.why ?? '', { cause }),
  }),
  row<Aborted>({
    type: Aborted,
    code: status.ABORTED,
    fields: named,
    details: (e, fit) => [resource(e, fit)],
    restore: (f, _, cause) => new Aborted(f.kind ?? '', f.resource ?? '', f.why ?? '', { cause }),
  }),
  row<FailedPrecondition>({
    type: FailedPrecondition,
    code: status.FAILED_PRECONDITION,
    fields: named,
    details: (e, { text }) => {
      const violations = [{ type: text(e.kind), subject: text(e.resource), description: text(e.why) }];
      return [{ typeUrl: url('PreconditionFailure'), value: PreconditionFailure.encode({ violations }).finish() }];
    },
    restore: (f, _, cause) => new FailedPrecondition(f.kind ?? '', f.resource ?? '', f.why ?? '', { cause }),
  }),
  row<ResourceExhausted>({
    type: ResourceExhausted,
    code: status.RESOURCE_EXHAUSTED,
    fields: (e) => ({ what: e.what, limit: e.limit }),
    details: (e) => (e.retryAfterMs === undefined ? [] : [{ typeUrl: url('RetryInfo'), value: encodeRetry(e.retryAfterMs) }]),
    restore: (f, details, cause) => {
      const retry = details.get(url('RetryInfo'));
      return new ResourceExhausted(f.what ?? '', f.limit ?? '', { cause, retryAfterMs: retry && decodeRetry(retry) });
    },
  }),
  row<NeverFits>({
    type: NeverFits,
    code: status.RESOURCE_EXHAUSTED,
    reason: 'NEVER_FITS',
    fields: (e) => ({ what: e.what, needed: e.needed, limit: e.limit }),
    restore: (f, _, cause) => new NeverFits(f.what ?? '', f.needed ?? '', f.limit ?? '', { cause }),
  }),
  row<DataLoss>({
    type: DataLoss,
    code: status.DATA_LOSS,
    fields: (e) => ({ what: e.what, detail: e.detail }),
    restore: (f, _, cause) => new DataLoss(f.what ?? '', f.detail ?? '', { cause }),
  }),
  row<Unavailable>({
    type: Unavailable,
    code: status.UNAVAILABLE,
    fields: (e) => ({ what: e.what }),
    details: (e) => [{ typeUrl: url('RetryInfo'), value: encodeRetry(e.retryAfterMs) }],
    restore: (f, details, cause) => new Unavailable(f.what ?? '', decodeRetry(details.get(url('RetryInfo'))), { cause }),
  }),
  row<PermissionDenied>({
    type: PermissionDenied,
    code: status.PERMISSION_DENIED,
    fields: (e) => ({ what: e.what, why: e.why }),
    restore: (f, _, cause) => new PermissionDenied(f.what ?? '', f.why ?? '', { cause }),
  }),
  row<Unauthenticated>({
    type: Unauthenticated,
    code: status.UNAUTHENTICATED,
    fields: (e) => ({ why: e.why }),
    restore: (f, _, cause) => new Unauthenticated(f.why ?? '', { cause }),
  }),
  row<Cancelled>({
    type: Cancelled,
    code: status.CANCELLED,
    fields: (e) => ({ what: e.what }),
    restore: (f, _, cause) => new Cancelled(f.what, { cause }),
  }),
  row<DeadlineExceeded>({
    type: DeadlineExceeded,
    code: status.DEADLINE_EXCEEDED,
    fields: (e) => ({ what: e.what }),
    restore: (f, _, cause) => new DeadlineExceeded(f.what, { cause }),
  }),
];

const reasonOf = ({ code, reason = status[code] }: Row<DomainError>): string => reason;

/** The status in the form that grpc-js sends. */
export interface GrpcStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

/** The message of every error that is not in the table. */
export const internalMessage = 'internal error; see the log of the service';

/**
 * Maps an error to the status to send, without the places of the server that its texts name. `unexpected` is called with every error that is not in the
 * table, so that it can be logged.
 */
export function toStatus(error: unknown, unexpected: (error: unknown) => void, places: Places = {}): GrpcStatus {
  const found = statusTable.find((r) => error instanceof r.type);
  if (!found || !(error instanceof DomainError)) {
    unexpected(error);
    return { code: status.INTERNAL, details: internalMessage, metadata: new Metadata() };
  }
  let sent = encodeStatus(found, error, fitting(1, places));
  for (let share = 0.5; sentBytes(sent) > maxSentBytes && share > 0.01; share /= 2)
    sent = encodeStatus(found, error, fitting(share, places));
  return sent;
}

/** Whether a status leaves out a place that the error names; then the log should say more. */
export function namesPlaces(error: unknown, places: Places): boolean {
  return error instanceof DomainError && !(error instanceof InvalidArgument) && hidePlaces(error.message, places) !== error.message;
}

/** Secrets come first: without its places, a text may no longer show where one ends. */
function fitting(share: number, places: Places): Fit {
  return {
    share,
    text: (text) => clip(hidePlaces(redacted(text.slice(0, longestRead)), places), share),
    given: (text) => clip(text, share),
  };
}

function encodeStatus(found: Row<DomainError>, error: DomainError, fit: Fit): GrpcStatus {
  const message = error instanceof InvalidArgument ? fit.given(describeAll(error, fit)) : fit.text(error.message);
  const info = ErrorInfo.encode({
    reason: reasonOf(found),
    domain: errorDomain,
    metadata: Object.fromEntries(Object.entries(found.fields(error)).map(([k, v]) => [k, fit.text(v)])),
  }).finish();
  const details = [{ typeUrl: url('ErrorInfo'), value: info }, ...(found.details?.(error, fit) ?? [])];
  const metadata = new Metadata();
  const encoded = Status.encode({ code: found.code, message, details: details.map((d) => ({ ...d, value: Buffer.from(d.value) })) });
  metadata.set(detailsKey, Buffer.from(encoded.finish()));
  return { code: found.code, details: message, metadata };
}

/** Bytes in the trailers: the message is percent-encoded, the details are base64. */
function sentBytes({ details, metadata }: GrpcStatus): number {
  const [encoded] = metadata.get(detailsKey) as Buffer[];
  return encodeURI(details).length + Math.ceil((4 * (encoded?.length ?? 0)) / 3);
}

/**
 * Restores the class that the server threw, with its ids, or RemoteError for a status without a class. `cause` is the original error.
 * @param where the address that was called, and the way to it
 */
export function fromServiceError(error: ServiceError, method = 'the call', where?: string): DomainError | RemoteError {
  const details = readDetails(error.metadata);
  const info = details.get(url('ErrorInfo'));
  const parsed = info && safely(() => ErrorInfo.decode(info));
  const rows = statusTable.filter((r) => r.code === error.code);
  const found = rows.find((r) => reasonOf(r) === parsed?.reason) ?? rows[0];
  if (!found) return new RemoteError(error.code, error.details, { cause: error });
  if (parsed?.domain === errorDomain) return found.restore(parsed.metadata, details, error);
  // This status came from grpc-js itself or from another server: it has only text and no details.
  const at = where === undefined ? method : `${method} at ${where}`;
  switch (error.code) {
    case status.UNAVAILABLE:
      return new Unavailable(`${at}${inParentheses(error.details)}`, decodeRetry(details.get(url('RetryInfo'))), { cause: error });
    case status.CANCELLED:
      return new Cancelled(method, { cause: error });
    case status.DEADLINE_EXCEEDED:
      return new DeadlineExceeded(at, { cause: error });
    default:
      return new RemoteError(error.code, error.details, { cause: error });
  }
}

/** What grpc-js says, in parentheses, without its words for a reason that it does not know. */
function inParentheses(details: string): string {
  const reason = details
    .replaceAll(/(round_robin: )?No connection established(\. Last error: (undefined)?)?/g, '')
    .replace(/\. Resolution note: *$/, '');
  return reason.trim() === '' ? '' : ` (${reason.trim()})`;
}

function readDetails(metadata: Metadata | undefined): Map<string, Uint8Array> {
  const bytes = metadata?.get(detailsKey)[0];
  const decoded = bytes instanceof Uint8Array ? safely(() => Status.decode(bytes)) : undefined;
  return new Map((decoded?.details ?? []).map((d) => [d.typeUrl, d.value]));
}

function describeAll({ violations }: InvalidArgument, { text }: Fit): string {
  return violations.map((violation) => describeViolation({ ...violation, allowed: text(violation.allowed) })).join('; ');
}

function encodeViolations(violations: readonly Violation[], { share, text, given }: Fit): Uint8Array {
  const fieldViolations = violations.slice(0, Math.max(1, Math.floor(maxViolations * share))).map((v) => ({
    field: given(v.field),
    description: `is ${JSON.stringify(clip(v.value, share / 5))}, must be ${text(v.allowed)}`.slice(0, Math.ceil(maxViolationText * share)),
  }));
  return BadRequest.encode({ fieldViolations }).finish();
}

function decodeViolations(bytes: Uint8Array | undefined): Violation[] {
  const decoded = bytes && safely(() => BadRequest.decode(bytes));
  return (decoded?.fieldViolations ?? []).map(({ field, description }) => {
    const match = /^is ("(?:[^"\\]|\\.)*"), must be (.*)$/s.exec(description);
    const value = match && safely(() => JSON.parse(match[1]!) as string);
    return { field, value: value ?? '', allowed: match?.[2] ?? description };
  });
}

function encodeRetry(ms: number): Uint8Array {
  const seconds = Math.floor(ms / 1000);
  return RetryInfo.encode({ retryDelay: { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) } }).finish();
}

/** Milliseconds; 0 if the server did not say. */
function decodeRetry(bytes: Uint8Array | undefined): number {
  const delay = bytes && safely(() => RetryInfo.decode(bytes))?.retryDelay;
  return delay ? Number(delay.seconds) * 1000 + delay.nanos / 1e6 : 0;
}

/** Details come from another process, so those that cannot be decoded count as absent. */
function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** At most `share` of the longest text, without secrets. Halves of surrogate pairs, which cannot be sent, are replaced. */
function clip(text: string, share: number): string {
  const longest = Math.ceil(maxText * share);
  const safe = redacted(text);
  const short = safe.length > longest ? `${safe.slice(0, Math.max(0, longest - 3))}...` : safe;
  return Buffer.from(short, 'utf8').toString('utf8');
}
