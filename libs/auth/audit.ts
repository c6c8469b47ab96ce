/**
 * What is written down of calls: one JSON line for every call that may change something, and for every refusal. A flood of refusals of one caller costs
 * a few lines a second: the others are counted in one more.
 */
import { redacted } from '#errors/redact.js';
import { mutations } from './policy.js';
import { isJwt, tokenIdOf } from './tokens.js';

export interface AuditedCall {
  /** undefined for a caller that is not known. */
  readonly principal: string | undefined;
  /** What the call has shown, as credentialKind says it. */
  readonly credential: string;
  readonly peer: string;
  /** e.g. `dropstream.v1.TrainerService/CreateRun`. */
  readonly rpc: string;
  /** The name of the resource; undefined where the request names none, or was not read. */
  readonly resource: string | undefined;
  /** The name of the status. */
  readonly code: string;
  readonly requestId: string | undefined;
  readonly traceId: string | undefined;
}

const refusals: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'PERMISSION_DENIED']);

export const isAudited = (rpc: string, code: string): boolean => mutations.has(rpc) || refusals.has(code);

/** Refusals of one caller and RPC in a second that have lines of their own. */
const BURST = 10;
const WINDOW_MS = 1000;
/** Callers and RPCs that are counted apart; the others are counted together. */
const MOST_COUNTED = 1000;

export class Audit {
  readonly #counted = new Map<string, { readonly first: AuditedCall; refused: number }>();
  #timer: NodeJS.Timeout | undefined;

  /** @param write takes one line, without its end */
  constructor(private readonly write: (line: string) => void) {}

  call(call: AuditedCall): void {
    if (!refusals.has(call.code) || this.#countRefusal(call) <= BURST) this.write(lineOf(call));
  }

  /** Writes what has been counted. */
  close(): void {
    clearTimeout(this.#timer);
    this.#endWindow();
  }

  /** @returns how many there were in this second */
  #countRefusal(call: AuditedCall): number {
    const { principal, credential, rpc, code } = call;
    const key = JSON.stringify([principal ?? credential.split(' ')[0], rpc, code]);
    let counted = this.#counted.get(key);
    if (counted === undefined) {
      const others = this.#counted.size >= MOST_COUNTED;
      counted = (others && this.#counted.get('')) || { first: others ? { ...call, principal: undefined, rpc: '*' } : call, refused: 0 };
      this.#counted.set(others ? '' : key, counted);
    }
    this.#timer ??= setTimeout(() => this.#endWindow(), WINDOW_MS).unref();
    return ++counted.refused;
  }

  #endWindow(): void {
    this.#timer = undefined;
    for (const { first, refused } of this.#counted.values()) {
      const { principal, credential, rpc, code } = first;
      if (refused > BURST)
        this.write(JSON.stringify({ time: now(), principal, credential: credential.split(' ')[0], rpc, code, more: refused - BURST }));
    }
    this.#counted.clear();
  }
}

/** A request id may be a secret by mistake. */
function lineOf({ requestId, traceId, ...call }: AuditedCall): string {
  return redacted(JSON.stringify({ time: now(), ...call, request_id: requestId, trace_id: traceId }));
}

const now = (): string => new Date().toISOString();

/**
 * What a call has shown, without what is secret of it: `token ID` for one of `dropstream token`, `jwt`, `certificate`, `other` or `none`.
 * @param authorization values of that header
 */
export function credentialKind(authorization: readonly string[], hasCertificate: () => boolean): string {
  if (authorization.length === 0) return hasCertificate() ? 'certificate' : 'none';
  const text = authorization[0]!.replace(/^Bearer +/i, '');
  const id = tokenIdOf(text);
  if (id !== undefined) return `token ${id}`;
  return isJwt(text) ? 'jwt' : 'other';
}
