/** Options of the scheduler, from flags, the environment or a file. */
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { integer, serviceOptions } from '#rpc/service-options.js';
import { storeOptions, storeProbeOption } from '#rpc/service-store.js';

export const schedulerOptions = {
  ...serviceOptions({ port: 7012 }),
  ...storeOptions('the schedules'),
  ...storeProbeOption,
  watchPollMs: {
    schema: integer(10, 60_000).default(1000),
    help: 'milliseconds between checks of a watched schedule for revisions that other replicas stored',
  },
  maxWatches: { schema: integer(1, 100_000).default(1000), help: 'number of WatchSchedule calls that may be open at the same time' },
} as const;

export type SchedulerConfig = ConfigOf<typeof schedulerOptions>;

export const schedulerConfig = defineConfig('scheduler', schedulerOptions);
