import { AsyncLocalStorage } from 'node:async_hooks';
import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { StoreSilent } from './object-store.js';
import { checkedLookup, type LookUpAll } from './reachable-addresses.js';

/** Timeouts and attempts of the S3 store. */
export interface S3Limits {
  /** An attempt may make no progress for this long, in ms; a put also gets the time that its bytes take at 1 MiB/s. Default 15 s. */
  requestTimeoutMs: number;
  /** Number of attempts in all, at least 1. Default 4. */
  attempts: number;
  /**
   * Pause before the second attempt in ms. It doubles up to `maxBackoffMs`; each pause is random between half of it and all of it. Default 100 ms.
   */
  backoffMs: number;
  /** Longest pause in ms. Default 2 s. */
  maxBackoffMs: number;
  /** Largest number of connections to one endpoint. Default 32. */
  maxConnections: number;
  /** Finds the addresses of the endpoint's name; those that no store may have are never connected to. Default: as the system does. */
  lookUp?: LookUpAll;
}

export const DEFAULT_S3_LIMITS: S3Limits = {
  requestTimeoutMs: 15_000,
  attempts: 4,
  backoffMs: 100,
  maxBackoffMs: 2_000,
  maxConnections: 32,
};

/** minio-js discards responses with these statuses without reading them, which would block their connections for ever. */
const UNREAD_BY_MINIO = new Set([408, 429, 499, 500, 502, 503, 504, 520]);

/** One attempt of one call: its signal, and the status of its response, which minio-js does not always report. */
export interface Attempt {
  readonly signal: AbortSignal;
  /** Counts from 1. */
  readonly number: number;
  status: number | undefined;
  /** Restarts the timeout, because bytes have arrived. */
  progress(): void;
}

interface Outcome {
  retryable: boolean;
  error: Error;
}

/**
 * The HTTP transport for minio-js, which has no timeouts and cannot be given a signal. Every request that minio-js makes inside `run` belongs to an
 * attempt of that call, is destroyed by the attempt's signal, and is repeated if `classify` says so.
 */
export class S3Transport {
  readonly agent: http.Agent;
  private readonly attempts = new AsyncLocalStorage<Attempt>();
  private readonly requester: typeof http.request;

  constructor(
    secure: boolean,
    readonly limits: S3Limits,
  ) {
    const lookup = checkedLookup(limits.lookUp);
    const options = { keepAlive: true, maxSockets: limits.maxConnections, maxFreeSockets: 8, lookup };
    this.agent = secure ? new https.Agent(options) : new http.Agent(options);
    this.requester = secure ? (https.request as typeof http.request) : http.request;
  }

  /** minio-js calls this for every HTTP request. */
  readonly request = (options: http.RequestOptions, onResponse: (response: http.IncomingMessage) => void): http.ClientRequest => {
    const attempt = this.attempts.getStore();
    if (!attempt) throw new Error('a request outside of S3Transport.run has no deadline');
    return this.requester({ ...options, signal: attempt.signal }, (response) => {
      attempt.status = response.statusCode;
      attempt.progress();
      if (UNREAD_BY_MINIO.has(response.statusCode ?? 0)) response.resume();
      onResponse(response);
    });
  };

  /**
   * @param work makes the minio-js call; runs once for each attempt
   * @param classify says whether to try again after an error, and what to throw at the end
   * @throws the signal's reason; StoreUnavailable if every attempt timed out; the error that `classify` gives
   */
  async run<T>(
    what: string,
    options: { signal?: AbortSignal | undefined; extraMs?: number },
    work: (attempt: Attempt) => Promise<T>,
    classify: (error: unknown, attempt: Attempt) => Outcome,
  ): Promise<T> {
    for (let number = 1; ; number++) {
      options.signal?.throwIfAborted();
      const timer = new ProgressTimer(this.limits.requestTimeoutMs + (options.extraMs ?? 0), options.signal);
      const attempt: Attempt = { signal: timer.signal, number, status: undefined, progress: () => timer.restart() };
      let outcome: Outcome;
      try {
        return await timer.race(this.attempts.run(attempt, () => work(attempt)));
      } catch (error) {
        options.signal?.throwIfAborted();
        if (timer.expired) this.dropIdle();
        outcome = timer.expired
          ? { retryable: true, error: new StoreSilent(`${what}: no answer within ${Math.ceil(timer.timeoutMs)} ms`, error) }
          : classify(error, attempt);
      } finally {
        timer.end();
      }
      if (!outcome.retryable || number >= this.limits.attempts) throw outcome.error;
      const pauseMs = Math.max(1, Math.min(this.limits.backoffMs * 2 ** (number - 1), this.limits.maxBackoffMs));
      await delay(pauseMs / 2 + randomInt(Math.ceil(pauseMs / 2)), undefined, { signal: options.signal }).catch(() =>
        options.signal?.throwIfAborted(),
      );
    }
  }

  close(): void {
    this.agent.destroy();
  }

  /** Where one connection has fallen silent, those that wait for their next request may be silent too, and each would cost an attempt. */
  private dropIdle(): void {
    for (const sockets of Object.values(this.agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }
}

/** A signal that fires when the caller's signal does, or when nothing restarts the timer for its whole time. */
class ProgressTimer {
  expired = false;
  private readonly controller = new AbortController();
  private readonly timer: NodeJS.Timeout;
  private readonly onAbort = () => this.controller.abort(this.outer?.reason);

  constructor(
    readonly timeoutMs: number,
    private readonly outer: AbortSignal | undefined,
  ) {
    // A caller may have as many calls under way with one signal as it likes; each takes its listener away at its end.
    if (outer) setMaxListeners(0, outer);
    outer?.addEventListener('abort', this.onAbort, { once: true });
    this.timer = setTimeout(() => {
      this.expired = true;
      this.controller.abort();
    }, timeoutMs);
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Enforces the deadline even where a library waits for something that the signal does not end. */
  race<T>(work: Promise<T>): Promise<T> {
    work.catch(() => undefined);
    return new Promise<T>((resolve, reject) => {
      this.signal.addEventListener('abort', () => reject(this.signal.reason), { once: true });
      work.then(resolve, reject);
    });
  }

  restart(): void {
    if (!this.expired) this.timer.refresh();
  }

  end(): void {
    clearTimeout(this.timer);
    this.outer?.removeEventListener('abort', this.onAbort);
  }
}
