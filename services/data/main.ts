/** The data service: decodes, augments and mixes images. Every replica can serve every batch; it has no state but caches. */

import { BatchService } from '#data/client/batch-message.js';
import { DEAD_BYTES, expectBulkMemory } from '#data/client/bulk-memory.js';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { parseProjectPlace } from '#data/datasets/project-place.js';
import { DataSources } from '#data/sources/data-sources.js';
import { invalid, NotFound } from '#errors/errors.js';
import { pixelInfo } from '#native/pixels.js';
import { service } from '#rpc/handlers.js';
import { startHealthProbe } from '#rpc/health-probe.js';
import { runService } from '#rpc/process.js';
import { openServiceStore } from '#rpc/service-store.js';
import { type RunningService, type StartOptions, startService } from '#rpc/start-service.js';
import { externalScaler } from '#scaling/external-scaler.js';
import { Scaler } from '#scaling/scaler.js';
import { createScalerMetrics } from '#scaling/scaler-metrics.js';
import { Admission } from './admission.js';
import { Ahead } from './ahead.js';
import { type DataConfig, dataConfig } from './config.js';
import { FileMemory } from './file-memory.js';
import { dataHandlers } from './handlers.js';
import { MemoryPool } from './memory-pool.js';
import { countCache, createDataMetrics } from './metrics.js';
import { OpenDatasets } from './open-datasets.js';
import { PngThreads } from './png-threads.js';
import { dataNames } from './request-names.js';
import { UndecodableLog } from './undecodable-log.js';

export type { DataConfig } from './config.js';

/** Milliseconds for which a slow caller may hold a batch. */
const MAX_STREAM_MS = 10 * 60_000;
/** Number of chunks of a batch that may wait for the transport; they are views of the batch's memory until they are written. */
const CHUNKS_AHEAD = 4;

/** Milliseconds between two looks at which streams are read. */
const LOOK_MS = 500;

/** Starts the service in this process. The caller must close it. */
export async function start(
  config: DataConfig,
  options: Pick<StartOptions, 'logger' | 'processMetrics' | 'signal'> = {},
): Promise<RunningService> {
  return await startService({
    name: 'data',
    config,
    ...options,
    server: {
      maxStreamMs: MAX_STREAM_MS,
      streamWindow: CHUNKS_AHEAD,
      streamProgressMs: config.progressMs,
      places: {
        roots: config.root.map((root) => parseProjectPlace(root, '--root').place),
        hidden: [config.store, ...config.source.map((source) => parseProjectPlace(source, '--source').place), config.cache],
      },
    },
    build: async ({ logger, registry, setServing, signal }) => {
      const roots = await AllowedRoots.open(config.root).catch((error) => {
        throw error instanceof NotFound ? invalid('--root', error.resource, 'a folder that exists') : error;
      });
      const opened = await openServiceStore({ config: { ...config, healthProbeMs: undefined }, logger, registry, signal });
      const store = opened.prompt;
      const metrics = createDataMetrics(registry);
      const sources = await DataSources.open({
        store,
        roots,
        stores: config.source,
        cacheFolder: config.cache || undefined,
        cacheBytes: config.cacheBytes,
      });
      const datasets = new OpenDatasets(store, sources, config.maxDatasets);
      // The budget includes buffers that garbage collection has not freed yet, memory for files, and unused memory for batches.
      const maxBytes = config.maxBytes - Math.min(DEAD_BYTES, config.maxBytes / 2);
      const memories = new MemoryPool(() => maxBytes - admission.held);
      const { maxClientBytes, maxWaiting, maxClientWaiting, concurrency: turns } = config;
      const admission: Admission = new Admission({
        ...{ maxBytes, maxClientBytes, maxWaiting, maxClientWaiting, turns },
        onIdle: () => ahead.start(),
      });
      const looking = setInterval(() => admission.look(), LOOK_MS);
      const ahead: Ahead = new Ahead(admission, memories, metrics);
      const threads = config.threads === 0 ? undefined : config.threads;
      logger.info({ roots: roots.folders, ...pixelInfo() }, 'pixels');
      // The store is only needed to open data sets; if it fails, replicas must keep serving the open ones.
      const health = startHealthProbe({
        probe: async () => await roots.check(),
        setServing,
        intervalMs: config.healthProbeMs,
        onFailure: (error, inARow) => logger.warn({ error, in_a_row: inARow }, 'a root cannot be read'),
      });
      const [files, undecodable, pngs] = [new FileMemory(), new UndecodableLog(metrics), new PngThreads()];
      const scaler = new Scaler({
        sources: { 'data-calls': async () => admission.waiting },
        otherwise: 'a data replica only knows its own calls; the trainer answers for data',
        metrics: createScalerMetrics(registry),
        pollMs: LOOK_MS,
        onError: (error) => logger.warn({ error }, 'the scaler could not find out what is wanted'),
      });
      const parts = { datasets, admission, memories, files, ahead, metrics, undecodable, threads, pngs };
      return {
        services: [service(BatchService, dataNames, dataHandlers(parts)), externalScaler(scaler)],
        beforeScrape: () => {
          metrics.bytesHeld.set(admission.held);
          metrics.waiting.set(admission.waiting);
          metrics.clients.set(admission.clients);
          metrics.datasets.set(datasets.size);
          countCache(metrics, sources.cacheCounts);
        },
        close: async () => {
          clearInterval(looking);
          health.close();
          ahead.close();
          scaler.close();
          await pngs.close();
          await datasets.close();
          await sources.close();
          await opened.close();
        },
      };
    },
  });
}

/** The command `dropstream serve data …`. @param argv arguments without node and script */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    process.stdout.write(`Usage: dropstream serve data [options]\n\n${dataConfig.help()}\n`);
    return;
  }
  expectBulkMemory();
  await runService({ name: 'data', start: async () => await start(dataConfig.parse({ argv, env: process.env })) });
}
