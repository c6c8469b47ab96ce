/**
 * Retries after UNAVAILABLE, and after RESOURCE_EXHAUSTED where the server says that waiting helps. Waits as long as the server's RetryInfo says, or
 * for our own doubling wait if that is longer, within the number of attempts and the call's deadline.
 */
import { ResourceExhausted, Unavailable } from '#errors/errors.js';

export interface RetryPolicy {
  /** Number of attempts, including the first; default 4. */
  readonly attempts: number;
  /** First wait in ms, doubled each time; default 100 ms. */
  readonly initialMs: number;
  /** Longest wait in ms, which also limits RetryInfo; default 5 s. */
  readonly maxMs: number;
}

export const defaultRetry: RetryPolicy = { attempts: 4, initialMs: 100, maxMs: 5_000 };

/** Milliseconds to wait before attempt `attempt` + 1 (attempts count from 1), or undefined to give up. */
export function retryDelayMs(error: unknown, attempt: number, policy: RetryPolicy, remainingMs: number): number | undefined {
  const asked = error instanceof Unavailable || error instanceof ResourceExhausted ? error.retryAfterMs : undefined;
  if (asked === undefined || attempt >= policy.attempts) return undefined;
  const own = policy.initialMs * 2 ** (attempt - 1);
  const delay = Math.min(Math.max(own, asked), policy.maxMs);
  return delay < remainingMs ? delay : undefined;
}

const readingMethod = /\/(Get|List|Describe|Preview|Watch)[A-Z]\w*$/;

/** The default of CallExtras.idempotent. */
export function isIdempotent(path: string, request: object): boolean {
  const requestId = (request as { requestId?: unknown }).requestId;
  return readingMethod.test(path) || (typeof requestId === 'string' && requestId !== '');
}

/** Resolves after `ms`, rejects with the signal's reason as soon as it aborts. */
export function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
