/**
 * The errors that handlers and domain code throw. They have ids as fields and do not depend on gRPC. The table in status.ts maps them to a status
 * with google.rpc details and back, so a client catches the same classes that the server threw.
 */

import { isSecretName, redacted } from './redact.js';

/** One rejected field. `allowed` completes the sentence "<field> is <value>, must be …". */
export interface Violation {
  /** Path in the request, proto names joined by dots, e.g. `schedule.spec.rate`. */
  readonly field: string;
  /** The value as it was given, as text. */
  readonly value: string;
  /** What is allowed, e.g. `at least 0 and below 1`. */
  readonly allowed: string;
}

/** Base of every error in the status table. Its message holds no secret, whatever it was made of. */
export abstract class DomainError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(redacted(message), options);
  }
}

/** The request itself is wrong, in any state of the service. Lists all violations at once. */
export class InvalidArgument extends DomainError {
  override readonly name = 'InvalidArgument';
  readonly violations: readonly Violation[];
  constructor(violations: readonly Violation[], options?: ErrorOptions) {
    const shown = violations.map(withoutSecrets);
    super(shown.map(describeViolation).join('; '), options);
    this.violations = shown;
  }
}

/** The named resource does not exist. `kind` is singular: `schedule`, `run`, … `why` may say what to do. */
export class NotFound extends DomainError {
  override readonly name = 'NotFound';
  readonly why: string;
  constructor(
    readonly kind: string,
    readonly resource: string,
    { why = '', ...options }: ErrorOptions & { readonly why?: string } = {},
  ) {
    super(`${kind} ${resource} does not exist${why && `: ${why}`}`, options);
    this.why = why;
  }
}

/** A resource of that name already exists. `why` says whether the name is taken, or a request id was repeated with another body. */
export class AlreadyExists extends DomainError {
  override readonly name = 'AlreadyExists';
  constructor(
    readonly kind: string,
    readonly resource: string,
    readonly why: string = '',
    options?: ErrorOptions,
  ) {
    super(`${kind} ${resource} already exists${why && `: ${why}`}`, options);
  }
}

/** Another writer was faster (the etag is stale): read again, and then retry the whole change. */
export class Aborted extends DomainError {
  override readonly name = 'Aborted';
  constructor(
    readonly kind: string,
    readonly resource: string,
    readonly why: string,
    options?: ErrorOptions,
  ) {
    super(`${kind} ${resource} was not changed: ${why}`, options);
  }
}

/** The request is correct, but not allowed in the present state of `resource`; retrying alone does not help. */
export class FailedPrecondition extends DomainError {
  override readonly name = 'FailedPrecondition';
  constructor(
    readonly kind: string,
    readonly resource: string,
    readonly why: string,
    options?: ErrorOptions,
  ) {
    super(`${kind} ${resource}: ${why}`, options);
  }
}

/**
 * A limit was reached. `limit` says which one, with its unit. The same call may succeed later: `retryAfterMs` says when to repeat it. It is undefined
 * if waiting alone does not help, for example because something has to be deleted first.
 */
export class ResourceExhausted extends DomainError {
  override readonly name: string = 'ResourceExhausted';
  readonly retryAfterMs: number | undefined;
  constructor(
    readonly what: string,
    readonly limit: string,
    { retryAfterMs, ...options }: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(`${what} is exhausted, the limit is ${limit}`, options);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The call needs more than this server ever gives to one call, so it fails each time. `needed` and `limit` have the same unit, e.g. `1000 bytes`. */
export class NeverFits extends DomainError {
  override readonly name = 'NeverFits';
  constructor(
    readonly what: string,
    readonly needed: string,
    readonly limit: string,
    options?: ErrorOptions,
  ) {
    super(`${what} needs ${needed} and can never fit, because the limit is ${limit}`, options);
  }
}

/** Stored bytes are lost or differ from their hash. */
export class DataLoss extends DomainError {
  override readonly name = 'DataLoss';
  constructor(
    readonly what: string,
    readonly detail: string,
    options?: ErrorOptions,
  ) {
    super(`${what} is damaged: ${detail}`, options);
  }
}

/** Temporarily impossible: the same call may be repeated after `retryAfterMs` (0 means at any time). */
export class Unavailable extends DomainError {
  override readonly name = 'Unavailable';
  constructor(
    readonly what: string,
    readonly retryAfterMs: number = 1000,
    options?: ErrorOptions,
  ) {
    super(`${what} is unavailable${retryAfterMs > 0 ? `, retry after ${retryAfterMs} ms` : ''}`, options);
  }
}

/** The caller may not do this: for example, the path is outside the allowed roots, or the resource belongs to another project. */
export class PermissionDenied extends DomainError {
  override readonly name = 'PermissionDenied';
  constructor(
    readonly what: string,
    readonly why: string,
    options?: ErrorOptions,
  ) {
    super(`${what} is not permitted: ${why}`, options);
  }
}

/** The service does not know the caller: the call has no credential, or one that does not count. `why` completes "the caller is not known: …". */
export class Unauthenticated extends DomainError {
  override readonly name = 'Unauthenticated';
  constructor(
    readonly why: string,
    options?: ErrorOptions,
  ) {
    super(`the caller is not known: ${why}`, options);
  }
}

/** The caller cancelled the call. One of the two reasons of an aborted `ctx.signal`. */
export class Cancelled extends DomainError {
  override readonly name = 'Cancelled';
  constructor(
    readonly what: string = 'the call',
    options?: ErrorOptions,
  ) {
    super(`${what} was cancelled`, options);
  }
}

/** The call's deadline passed. One of the two reasons of an aborted `ctx.signal`. */
export class DeadlineExceeded extends DomainError {
  override readonly name = 'DeadlineExceeded';
  constructor(
    readonly what: string = 'the call',
    options?: ErrorOptions,
  ) {
    super(`the deadline of ${what} has passed`, options);
  }
}

/** A status that no class above represents, as a client received it. If a server's handler throws one, the caller gets INTERNAL. */
export class RemoteError extends Error {
  override readonly name = 'RemoteError';
  constructor(
    /** gRPC status code. */
    readonly code: number,
    readonly details: string,
    options?: ErrorOptions,
  ) {
    super(`gRPC status ${code}: ${details}`, options);
  }
}

/** `secretKey in /etc/config.json` is a field, too. */
const isSecretField = (field: string): boolean => isSecretName(field.split(/[ .]/)[0] ?? '') || isSecretName(field.split('.').at(-1) ?? '');

/** Secrets are given in wrong places, too. */
function withoutSecrets({ field, value, allowed }: Violation): Violation {
  return { field: redacted(field), value: isSecretField(field) && value !== '' ? '…' : redacted(value), allowed: redacted(allowed) };
}

/** "<field> is <value>, must be <allowed>". */
export function describeViolation({ field, value, allowed }: Violation): string {
  return `${field} is ${JSON.stringify(value)}, must be ${allowed}`;
}

/** Collects everything that is wrong with a request, so that one response can report it. */
export class Violations {
  readonly #list: Violation[] = [];

  /** `value` is shown as text, shortened to 120 characters; undefined is shown as "" (absent). */
  add(field: string, value: unknown, allowed: string): this {
    const given = value === undefined || value === null ? '' : String(value);
    // Before the end of a secret is cut off, by which it is known.
    const text = isSecretField(field) && given !== '' ? '…' : redacted(given);
    this.#list.push({ field, value: text.length > 120 ? `${text.slice(0, 117)}...` : text, allowed });
    return this;
  }

  /** Adds the violation unless `holds` is true. Returns `holds`, for checks that build on each other. */
  check(holds: boolean, field: string, value: unknown, allowed: string): boolean {
    if (!holds) this.add(field, value, allowed);
    return holds;
  }

  /** Adds violations that a pure library found, with `prefix` before their fields (for example `schedule.spec.`). */
  addAll(violations: readonly Violation[], prefix = ''): this {
    for (const v of violations) this.add(`${prefix}${v.field}`, v.value, v.allowed);
    return this;
  }

  /** Runs a parser. If it throws InvalidArgument, collects the violations and returns undefined. */
  collect<T>(parse: () => T, prefix = ''): T | undefined {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof InvalidArgument)) throw error;
      this.addAll(error.violations, prefix);
      return undefined;
    }
  }

  get empty(): boolean {
    return this.#list.length === 0;
  }

  get list(): readonly Violation[] {
    return this.#list;
  }

  /** Throws InvalidArgument with all violations, if there are any. */
  throwIfAny(): void {
    if (!this.empty) throw new InvalidArgument([...this.#list]);
  }
}

/** InvalidArgument with a single violation. */
export function invalid(field: string, value: unknown, allowed: string): InvalidArgument {
  return new InvalidArgument(new Violations().add(field, value, allowed).list);
}
