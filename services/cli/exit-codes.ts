/** Exit codes of `dropstream`. `--help` and docs/command-line.md show the same table. */
import { status } from '@grpc/grpc-js';
import * as errors from '#errors/errors.js';
import { redacted } from '#errors/redact.js';

export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  unavailable: 3,
  notFound: 4,
  conflict: 5,
  permission: 6,
  dataLoss: 7,
  exhausted: 8,
  interrupted: 130,
} as const;

export const exitCodeMeanings: readonly (readonly [number, string])[] = [
  [exitCodes.ok, 'the command succeeded'],
  [
    exitCodes.failure,
    'the command failed: the run ended as FAILED or none of its evaluations succeeded, an evaluation has no result, a check of `doctor` failed, or there was an internal error',
  ],
  [exitCodes.usage, 'the command line or the request is wrong (INVALID_ARGUMENT)'],
  [exitCodes.unavailable, 'a service cannot be reached or did not answer in time (UNAVAILABLE, DEADLINE_EXCEEDED)'],
  [exitCodes.notFound, 'the named run, checkpoint or other resource does not exist (NOT_FOUND)'],
  [
    exitCodes.conflict,
    'the resource exists already, was changed by somebody else, or is in a state that does not allow the command (ALREADY_EXISTS, ABORTED, FAILED_PRECONDITION)',
  ],
  [exitCodes.permission, 'the caller is not allowed to do this (PERMISSION_DENIED, UNAUTHENTICATED)'],
  [exitCodes.dataLoss, 'stored data is damaged (DATA_LOSS)'],
  [exitCodes.exhausted, 'a limit was reached (RESOURCE_EXHAUSTED)'],
  [exitCodes.interrupted, 'the command was interrupted with Ctrl-C'],
];

/** An error whose message is meant for users; it is printed without a stack trace. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  constructor(
    message: string,
    readonly exitCode: number = exitCodes.failure,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

const byClass: readonly (readonly [abstract new (...args: never[]) => Error, number])[] = [
  [errors.InvalidArgument, exitCodes.usage],
  [errors.Unavailable, exitCodes.unavailable],
  [errors.DeadlineExceeded, exitCodes.unavailable],
  [errors.NotFound, exitCodes.notFound],
  [errors.AlreadyExists, exitCodes.conflict],
  [errors.Aborted, exitCodes.conflict],
  [errors.FailedPrecondition, exitCodes.conflict],
  [errors.PermissionDenied, exitCodes.permission],
  [errors.Unauthenticated, exitCodes.permission],
  [errors.DataLoss, exitCodes.dataLoss],
  [errors.ResourceExhausted, exitCodes.exhausted],
  [errors.NeverFits, exitCodes.exhausted],
  [errors.Cancelled, exitCodes.interrupted],
];

const byStatus: Partial<Record<number, number>> = {
  [status.INVALID_ARGUMENT]: exitCodes.usage,
  [status.OUT_OF_RANGE]: exitCodes.usage,
  [status.UNAVAILABLE]: exitCodes.unavailable,
  [status.DEADLINE_EXCEEDED]: exitCodes.unavailable,
  [status.NOT_FOUND]: exitCodes.notFound,
  [status.ALREADY_EXISTS]: exitCodes.conflict,
  [status.ABORTED]: exitCodes.conflict,
  [status.FAILED_PRECONDITION]: exitCodes.conflict,
  [status.PERMISSION_DENIED]: exitCodes.permission,
  [status.UNAUTHENTICATED]: exitCodes.permission,
  [status.DATA_LOSS]: exitCodes.dataLoss,
  [status.RESOURCE_EXHAUSTED]: exitCodes.exhausted,
  [status.CANCELLED]: exitCodes.interrupted,
};

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError) return error.exitCode;
  for (const [type, code] of byClass) if (error instanceof type) return code;
  const status = (error as { code?: unknown } | undefined)?.code;
  return (typeof status === 'number' ? byStatus[status] : undefined) ?? exitCodes.failure;
}

/** The text of an error for users. Each violation of InvalidArgument has a line of its own. It holds no secret. */
export const describeError = (error: unknown): string => redacted(described(error));

function described(error: unknown): string {
  if (error instanceof errors.InvalidArgument && error.violations.length > 0) {
    const lines = error.violations.map(
      (v) => `  ${v.field}${v.value === '' ? ' is not given' : ` is ${JSON.stringify(v.value)}`}, must be ${v.allowed}`,
    );
    return lines.length === 1 ? lines[0]!.trim() : `${lines.length} values are not valid:\n${lines.join('\n')}`;
  }
  if (error instanceof errors.RemoteError) return error.details || error.message;
  return error instanceof Error ? error.message : String(error);
}
