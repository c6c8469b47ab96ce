/** Options of the data service: flags, environment or file. */
import { z } from 'zod';
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { integer, serviceOptions } from '#rpc/service-options.js';

export const dataOptions = {
  ...serviceOptions({ port: 7011 }),
  store: { schema: z.string().min(1), help: 'where manifests are kept: a folder, file:///folder or s3://bucket/prefix?endpoint=…' },
  root: {
    schema: z.array(z.string().min(1)).min(1, 'at least one'),
    help: 'folder that data sets may be read from, links resolved',
    list: true,
  },
  source: {
    schema: z.array(z.string().min(1)).default([]),
    help: 'store that data sets may be read from, besides what was pushed to --store: s3://bucket/prefix?endpoint=…',
    list: true,
  },
  cache: {
    schema: z.string().default(''),
    help: 'folder for what was read from stores, shared by replicas on this machine; default: none',
  },
  cacheBytes: { schema: integer(2 ** 30, 2 ** 50).default(2 ** 36), help: 'bytes in that folder' },
  concurrency: { schema: integer(1, 256).default(4), help: 'batches made at the same time' },
  maxWaiting: {
    schema: integer(0, 100_000).default(4096),
    help: 'calls that wait for their turn; more are refused with RESOURCE_EXHAUSTED',
  },
  maxClientWaiting: { schema: integer(0, 100_000).default(64), help: 'those of one client' },
  maxBytes: {
    schema: integer(1 << 20, 2 ** 40).default(1 << 30),
    help: 'bytes of batches in memory, from the beginning of their making to the last chunk taken by the caller, and 72 MiB (at most half) for what garbage collection has yet to find',
  },
  maxClientBytes: {
    schema: integer(1 << 20, 2 ** 40).default(256 << 20),
    help: 'those of one client, or one batch where that is larger: a slow one holds nobody else back',
  },
  maxDatasets: { schema: integer(1, 1000).default(32), help: 'data sets kept open' },
  healthProbeMs: {
    schema: integer(10, 600_000).default(5000),
    help: 'milliseconds between looks at the roots, for the gRPC health status',
  },
  threads: { schema: integer(0, 1024).default(0), help: 'threads that decode and augment, 0 for one a core' },
} as const;

export type DataConfig = ConfigOf<typeof dataOptions>;

export const dataConfig = defineConfig('data', dataOptions);
