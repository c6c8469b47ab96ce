/** Options of the scheduler, from flags, the environment or a file. */
import { z } from 'zod';
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { integer, serviceOptions } from '#rpc/service-options.js';

export const schedulerOptions = {
  ...serviceOptions({ port: 7012 }),
  store: {
    schema: z.string().min(1),
    help: 'object store that holds the schedules: a folder, file:///folder or s3://bucket/prefix?endpoint=…',
  },
  watchPollMs: {
    schema: integer(10, 60_000).default(1000),
    help: 'milliseconds between checks of a watched schedule for revisions that other replicas stored',
  },
  healthProbeMs: {
    schema: integer(10, 600_000).default(5000),
    help: 'milliseconds between checks of the object store, which decide the gRPC health status',
  },
  maxWatches: { schema: integer(1, 100_000).default(1000), help: 'number of WatchSchedule calls that may be open at the same time' },
} as const;

export type SchedulerConfig = ConfigOf<typeof schedulerOptions>;

export const schedulerConfig = defineConfig('scheduler', schedulerOptions);
