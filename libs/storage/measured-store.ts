/** A store whose operations are counted and timed, and which knows whether it was answered. */
import { setMaxListeners } from 'node:events';
import type { StoreMetrics, StoreOutcome } from '#telemetry/store-metrics.js';
import { ObjectExists, ObjectNotFound, type ObjectStore, PreconditionFailed, StoreFull, StoreUnavailable } from './object-store.js';
import { type StoreCall, WrappedStore } from './wrapped-store.js';

export class MeasuredStore extends WrappedStore {
  /** Milliseconds of performance.now() of the newest answer. */
  #answeredAt = Number.NEGATIVE_INFINITY;

  constructor(
    inner: ObjectStore,
    private readonly metrics: StoreMetrics,
  ) {
    super(inner);
  }

  protected async around<T>({ operation, signal }: StoreCall, work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    let over = false;
    const end = (outcome: StoreOutcome): void => {
      if (over) return;
      over = true;
      signal?.removeEventListener('abort', onAbort);
      this.metrics.ended(operation, outcome, (performance.now() - begun) / 1000);
      if (outcome === 'cancelled') return;
      // What began before the store was back and ends later says nothing about it now.
      if (outcome !== 'unavailable') this.#answeredAt = performance.now();
      else if (this.#answeredAt > begun) return;
      this.metrics.away(outcome === 'unavailable');
    };
    // Calls of a hanging file system never end. What is known about them is why nobody waits any more.
    const onAbort = (): void => end(signal?.reason instanceof StoreUnavailable ? outcomeOf(signal.reason) : 'cancelled');
    if (signal) {
      // Many operations may go on under one signal; each takes its listener away at its end.
      setMaxListeners(0, signal);
      signal.addEventListener('abort', onAbort, { once: true });
    }
    try {
      const value = await work();
      end('ok');
      return value;
    } catch (error) {
      end(signal?.aborted ? 'cancelled' : outcomeOf(error));
      throw error;
    }
  }
}

function outcomeOf(error: unknown): StoreOutcome {
  if (error instanceof ObjectNotFound) return 'absent';
  if (error instanceof ObjectExists || error instanceof PreconditionFailed) return 'exists';
  if (error instanceof StoreFull) return 'full';
  return error instanceof StoreUnavailable ? 'unavailable' : 'refused';
}
