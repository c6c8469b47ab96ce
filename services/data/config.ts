/** Options of the data service, from flags, the environment or a file. */
import { z } from 'zod';
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { integer, serviceOptions } from '#rpc/service-options.js';
import { storeOptions } from '#rpc/service-store.js';

export const dataOptions = {
  ...serviceOptions({ port: 7011 }),
  ...storeOptions('the manifests'),
  root: {
    schema: z.array(z.string().min(1)).min(1, 'at least one'),
    help: 'folder from which data sets may be read, for all projects or, as FOLDER#projects=ID+ID, for some; symbolic links must not lead out of it',
    list: true,
  },
  source: {
    schema: z.array(z.string().min(1)).default([]),
    help: 'further object store from which data sets may be read, besides --store: s3://bucket/prefix?endpoint=…, for all projects or, with #projects=ID+ID after it, for some',
    list: true,
  },
  cache: {
    schema: z.string().default(''),
    help: 'folder that caches files read from object stores; replicas on one machine can share it; empty: no cache',
  },
  cacheBytes: { schema: integer(2 ** 30, 2 ** 50).default(2 ** 36), help: 'largest size of the cache folder in bytes' },
  concurrency: { schema: integer(1, 256).default(4), help: 'number of batches that are prepared at the same time' },
  maxWaiting: {
    schema: integer(0, 100_000).default(4096),
    help: 'number of calls that may wait for their turn; further calls fail with RESOURCE_EXHAUSTED',
  },
  maxClientWaiting: {
    schema: integer(0, 100_000).default(64),
    help: 'number of calls of one client (a connection and a client name) that may wait for their turn',
  },
  maxBytes: {
    schema: integer(1 << 20, 2 ** 40).default(1 << 30),
    help: 'memory for batches in bytes: a batch counts from the start of its preparation until the caller has received it; 72 MiB of the memory (at most half) are set aside for garbage that is not collected yet',
  },
  maxClientBytes: {
    schema: integer(1 << 20, 2 ** 40).default(256 << 20),
    help: 'memory for the batches of one client (a connection and a client name) in bytes, so that a slow client does not block others; one batch is always allowed',
  },
  progressMs: {
    schema: integer(100, 600_000).default(20_000),
    help: 'milliseconds after which the stream of a batch ends with RESOURCE_EXHAUSTED, and its memory is freed, if its reader takes no bytes',
  },
  maxDatasets: { schema: integer(1, 1000).default(32), help: 'number of data sets that are kept open' },
  healthProbeMs: {
    schema: integer(10, 600_000).default(5000),
    help: 'milliseconds between checks that the roots can be read, which decide the gRPC health status',
  },
  threads: { schema: integer(0, 1024).default(0), help: 'number of threads that decode and augment images; 0: one per core' },
} as const;

export type DataConfig = ConfigOf<typeof dataOptions>;

export const dataConfig = defineConfig('data', dataOptions);
