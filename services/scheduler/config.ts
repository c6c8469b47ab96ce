/** Options of the scheduler: flags, environment or file. */
import { z } from 'zod';
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { integer, serviceOptions } from '#rpc/service-options.js';

export const schedulerOptions = {
  ...serviceOptions({ port: 7012 }),
  store: { schema: z.string().min(1), help: 'where schedules are kept: a folder, file:///folder or s3://bucket/prefix?endpoint=…' },
  watchPollMs: {
    schema: integer(10, 60_000).default(1000),
    help: 'milliseconds between looks at a watched schedule, for revisions of other replicas',
  },
  healthProbeMs: {
    schema: integer(10, 600_000).default(5000),
    help: 'milliseconds between looks at the object store, for the gRPC health status',
  },
  maxWatches: { schema: integer(1, 100_000).default(1000), help: 'watches at the same time' },
} as const;

export type SchedulerConfig = ConfigOf<typeof schedulerOptions>;

export const schedulerConfig = defineConfig('scheduler', schedulerOptions);
