/** Options of the scheduler, from flags, the environment or a file. */
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { addressOrEmpty, integer, serviceOptions } from '#rpc/service-options.js';
import { storeOptions, storeProbeOption } from '#rpc/service-store.js';

export const schedulerOptions = {
  ...serviceOptions({ port: 7012 }),
  ...storeOptions('the schedules'),
  ...storeProbeOption,
  trainer: {
    schema: addressOrEmpty(7013).default(''),
    help: 'host:port of the trainer that the scaler asks about workers and data replicas; empty: it does not answer for them',
  },
  evaluator: {
    schema: addressOrEmpty(7014).default(''),
    help: 'host:port of the evaluator that the scaler asks about workers of evaluations; empty: it does not answer for them',
  },
  watchPollMs: {
    schema: integer(10, 60_000).default(1000),
    help: 'milliseconds between checks of a watched schedule for revisions that other replicas stored',
  },
  maxWatches: { schema: integer(1, 100_000).default(1000), help: 'number of WatchSchedule calls that may be open at the same time' },
} as const;

export type SchedulerConfig = ConfigOf<typeof schedulerOptions>;

export const schedulerConfig = defineConfig('scheduler', schedulerOptions);
