/** Errors of calls in the form of the Connect protocol, with the google.rpc details that the services send. */
import { type DescMessage, type FileRegistry, fromBinary, type JsonValue, toJson } from '@bufbuild/protobuf';
import { type Code, ConnectError } from '@connectrpc/connect';
import { type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { DeadlineExceeded, Unavailable } from '#errors/errors.js';
import { Status } from '#protocol/google/rpc/status.js';
import { toStatus } from '#rpc/status.js';
import type { Backend } from '../protos.js';

const detailsKey = 'grpc-status-details-bin';

export interface ErrorContext {
  readonly registry: FileRegistry;
  /** The service that was called. */
  readonly backend: Backend | undefined;
  /** Called with every error that nobody has declared. */
  readonly unexpected: (error: unknown) => void;
}

/** Callers learn what the service has answered; where it is, and how it was not reached, is for the log. */
export function connectErrorOf(error: unknown, { registry, backend, unexpected }: ErrorContext): ConnectError {
  if (error instanceof ConnectError) return error;
  const answered = answerOf(error);
  // What grpc-js says itself has no details, and names addresses.
  const own = answered === undefined || hasDetails(answered.metadata) ? undefined : answered.code;
  const lost = own === status.UNAVAILABLE;
  if (lost) unexpected(error);
  const said = lost ? unreachable(backend) : own === status.DEADLINE_EXCEEDED ? late(backend) : answered === undefined ? error : undefined;
  const sent = said === undefined ? answered! : toStatus(said, unexpected);
  // The codes of both protocols are the same numbers.
  const made = new ConnectError(sent.details, sent.code as number as Code);
  for (const { typeUrl, value } of detailsOf(sent.metadata)) {
    const type = typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
    const debug = shownAs(registry, type, value);
    made.details.push({ type, value, ...(debug === undefined ? {} : { debug }) });
  }
  return made;
}

const unreachable = (backend: Backend | undefined): Unavailable => new Unavailable(`the ${backend ?? 'called'} service`, 1000);
const late = (backend: Backend | undefined): DeadlineExceeded => new DeadlineExceeded(`the call of the ${backend ?? 'called'} service`);

/** What grpc-js has received: the client's errors have it as their cause. */
function answerOf(error: unknown): Pick<ServiceError, 'code' | 'details' | 'metadata'> | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && typeof (cause as Partial<ServiceError>).code === 'number' && 'metadata' in cause
    ? (cause as ServiceError)
    : undefined;
}

const hasDetails = (metadata: Metadata | undefined): boolean => (metadata?.get(detailsKey).length ?? 0) > 0;

function detailsOf(metadata: Metadata | undefined): { typeUrl: string; value: Uint8Array }[] {
  const bytes = metadata?.get(detailsKey)[0];
  if (!(bytes instanceof Uint8Array)) return [];
  try {
    return Status.decode(bytes).details;
  } catch {
    return [];
  }
}

/** A detail for people to read; undefined if its type is not known, or it is not one. */
function shownAs(registry: FileRegistry, type: string, value: Uint8Array): JsonValue | undefined {
  const message: DescMessage | undefined = registry.getMessage(type);
  if (message === undefined) return undefined;
  try {
    return toJson(message, fromBinary(message, value));
  } catch {
    return undefined;
  }
}

/** The name that gRPC has for a code, as metrics and logs show it. */
export const codeName = (code: Code | undefined): string => (code === undefined ? 'OK' : (status[code] ?? 'UNKNOWN'));

const codesOfHttp: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'INVALID_ARGUMENT',
  404: 'NOT_FOUND',
  405: 'UNIMPLEMENTED',
  415: 'UNIMPLEMENTED',
  429: 'RESOURCE_EXHAUSTED',
  504: 'DEADLINE_EXCEEDED',
};

/** For a call that was answered before its message was whole. */
export const codeNameOfHttp = (httpStatus: number): string => codesOfHttp[httpStatus] ?? 'UNKNOWN';
