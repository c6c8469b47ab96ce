/** Repeats what a store does not answer, for a while. */
import { setTimeout as delay } from 'node:timers/promises';
import { StoreUnavailable } from './object-store.js';

interface Patience {
  /** How long to go on after this error, in ms since the first try; 0: not at all. */
  readonly patienceMs: (error: StoreUnavailable) => number;
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Ends a pause, so that the next try comes at once. */
  readonly hurry?: AbortSignal | undefined;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3000;

/** `work` must be such that doing it twice has the same meaning. @throws its last error; the signal's reason */
export async function patiently<T>(work: () => Promise<T>, { patienceMs, signal, hurry }: Patience): Promise<T> {
  const begun = performance.now();
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(LONGEST_PAUSE_MS, 2 * pause)) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || !error.retryable) throw error;
      if (performance.now() - begun + pause > patienceMs(error)) throw error;
    }
    // Made only here, because a signal that lives long remembers all that were made of it.
    const ending = signal && hurry ? AbortSignal.any([signal, hurry]) : (signal ?? hurry);
    await delay(pause, undefined, ending && { signal: ending }).catch(() => signal?.throwIfAborted());
  }
}
