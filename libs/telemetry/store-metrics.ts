/** Metrics of a service that has an object store. They have no label for keys, because the number of series would be unbounded. */
import { Gauge, Histogram, type Registry } from 'prom-client';

export const storeOperations = ['put', 'replace', 'get', 'get_range', 'head', 'list', 'delete'] as const;
export type StoreOperation = (typeof storeOperations)[number];

/**
 * How an operation ended. `absent` and `exists` are answers that the services ask for, such as at the end of a log; `unavailable`: there was no answer,
 * or the store does not let us in; `full`: it has no room; `refused`: the operation cannot be done; `cancelled`: whoever asked did not wait.
 */
export type StoreOutcome = 'ok' | 'absent' | 'exists' | 'unavailable' | 'full' | 'refused' | 'cancelled';

export interface StoreMetrics {
  ended(operation: StoreOperation, outcome: StoreOutcome, seconds: number): void;
  /** Tells whether the store answers. */
  away(now: boolean): void;
}

export function createStoreMetrics(registry: Registry): StoreMetrics {
  const registers = [registry];
  const seconds = new Histogram({
    name: 'dropstream_store_operation_seconds',
    help: 'Seconds of an operation on the object store, by operation and outcome: ok, absent, exists, unavailable, full, refused or cancelled.',
    labelNames: ['operation', 'outcome'],
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100],
    registers,
  });
  const away = new Gauge({
    name: 'dropstream_store_away',
    help: '1 while the object store does not answer this process, otherwise 0.',
    registers,
  });
  // These start at 0, so that increases include the first one.
  for (const operation of storeOperations) for (const outcome of ['ok', 'unavailable']) seconds.zero({ operation, outcome });
  seconds.zero({ operation: 'put', outcome: 'full' });
  return {
    ended: (operation, outcome, took) => seconds.observe({ operation, outcome }, took),
    away: (now) => away.set(now ? 1 : 0),
  };
}
