import { setMaxListeners } from 'node:events';

/** Resolves as `work` does, or rejects with the signal's reason as soon as it aborts. A later rejection of `work` does not count as unhandled. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    // Many may wait with one signal; each takes its listener away at its end.
    setMaxListeners(0, signal);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
