/**
 * The object store of a service: waited for at the start, bounded in every call, and probed for the gRPC health status. All services open their store
 * here, so that they tell the same truth about it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import { orAborted } from '#bounds/or-aborted.js';
import { MeasuredStore } from '#storage/measured-store.js';
import { type ObjectStore, StoreFull, StoreUnavailable } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { tracedStore } from '#storage/traced-store.js';
import type { Logger } from '#telemetry/logger.js';
import { createStoreMetrics } from '#telemetry/store-metrics.js';
import { startHealthProbe } from './health-probe.js';
import { PromptStore } from './prompt-store.js';
import type { RpcServer } from './server.js';
import { integer } from './service-options.js';

/** The options of a service that has a store. @param holds what it holds, for the help */
export const storeOptions = (holds: string) =>
  ({
    store: {
      schema: z.string().min(1),
      help: `object store that holds ${holds}: a folder, file:///folder or s3://bucket/prefix?endpoint=…`,
    },
    storeTimeoutMs: {
      schema: integer(50, 600_000).default(5000),
      help: 'milliseconds without an answer of the object store after which a call fails with UNAVAILABLE',
    },
  }) as const;

/** The option of a service that probes its store. */
export const storeProbeOption = {
  healthProbeMs: {
    schema: integer(10, 600_000).default(5000),
    help: 'milliseconds between checks of the object store, which decide the gRPC health status',
  },
} as const;

export interface ServiceStore {
  /** For calls: an operation that makes no progress for `storeTimeoutMs` fails. */
  readonly prompt: ObjectStore;
  /** For work that rather waits than fails. */
  readonly patient: ObjectStore;
  close(): Promise<void>;
}

export interface ServiceStoreOptions {
  readonly config: { readonly store: string; readonly storeTimeoutMs: number; readonly healthProbeMs?: number | undefined };
  readonly logger: Logger;
  readonly registry: Registry;
  /** Given by a service that does not serve without its store. */
  readonly setServing?: RpcServer['setServing'] | undefined;
  /** Ends the waiting for a store that is away. */
  readonly signal?: AbortSignal | undefined;
}

/** Time for one attempt to open the store, and the pauses between attempts, in ms. */
const OPEN_MS = 5000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/**
 * Opens the store; one that does not answer is waited for, and the log says so. The caller closes it.
 * @throws InvalidStoreUri; StoreUnavailable if waiting cannot help; the signal's reason
 */
export async function openServiceStore({ config, logger, registry, setServing, signal }: ServiceStoreOptions): Promise<ServiceStore> {
  const metrics = createStoreMetrics(registry);
  const opened = await openWhenPresent(config.store, { logger, onAway: () => metrics.away(true), signal });
  metrics.away(false);
  const patient = tracedStore(new MeasuredStore(opened, metrics));
  const prompt = new PromptStore(patient, { operationMs: config.storeTimeoutMs });
  const health =
    setServing &&
    startHealthProbe({
      probe: (signal) => prompt.check('projects/', signal),
      setServing: (serving) => {
        if (serving) logger.info('the object store answers again');
        setServing(serving);
      },
      ...(config.healthProbeMs === undefined ? {} : { intervalMs: config.healthProbeMs }),
      // The check ends by its own deadline, which notices calls that cannot be ended.
      timeoutMs: 2 * config.storeTimeoutMs,
      onFailure: (error, inARow) => logger.warn({ error, in_a_row: inARow }, 'the object store does not answer'),
    });
  return {
    prompt,
    patient,
    close: async () => {
      health?.close();
      await patient.close();
    },
  };
}

interface OpeningOptions {
  readonly logger: Logger;
  readonly onAway: () => void;
  readonly signal: AbortSignal | undefined;
}

async function openWhenPresent(uri: string, { logger, onAway, signal }: OpeningOptions): Promise<ObjectStore> {
  const begunAt = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs)) {
    const attempt = AbortSignal.any([AbortSignal.timeout(OPEN_MS), ...(signal ? [signal] : [])]);
    try {
      const store = await orAborted(openStore(uri, { signal: attempt }), attempt);
      if (pauseMs > FIRST_PAUSE_MS) logger.info({ waited_s: secondsSince(begunAt) }, 'the object store answers');
      return store;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof StoreFull) {
        // What is stored can be read and deleted, which may be what makes room again.
        logger.error({ error }, 'the object store is full, so nothing can be written until there is room again');
        return await openStore(uri, { signal: attempt, probe: false });
      }
      const mayReturn = attempt.aborted || (error instanceof StoreUnavailable && error.retryable);
      if (!mayReturn) throw error;
      onAway();
      logger.warn({ error, waited_s: secondsSince(begunAt), next_look_ms: pauseMs }, 'the object store does not answer; waiting for it');
    }
    await delay(pauseMs, undefined, { signal });
  }
}

const secondsSince = (beginMs: number): number => Math.round((performance.now() - beginMs) / 100) / 10;
