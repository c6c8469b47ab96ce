/** The scheduler service: stores, previews and serves drop-rate schedules. */
import { ChangeFeed } from '#rpc/change-feed.js';
import { service } from '#rpc/handlers.js';
import { runService } from '#rpc/process.js';
import { callerOptions } from '#rpc/service-options.js';
import { openServiceStore } from '#rpc/service-store.js';
import { type RunningService, type StartOptions, startService } from '#rpc/start-service.js';
import { externalScaler } from '#scaling/external-scaler.js';
import { type SchedulerConfig, schedulerConfig } from './config.js';
import { forwardingScaler } from './forwarding-scaler.js';
import { schedulerHandlers } from './handlers.js';
import { createSchedulerMetrics } from './metrics.js';
import { SchedulerService } from './rates-message.js';
import { schedulerNames } from './request-names.js';
import { ScheduleStore } from './schedule-store.js';
import { scheduleOfWatchKey, watchKey } from './watch-revisions.js';

export type { SchedulerConfig } from './config.js';

/** Starts the service in this process. The caller must close it. */
export async function start(
  config: SchedulerConfig,
  options: Pick<StartOptions, 'logger' | 'processMetrics' | 'signal'> = {},
): Promise<RunningService> {
  return await startService({
    name: 'scheduler',
    config,
    ...options,
    server: { places: { hidden: [config.store] } },
    build: async ({ logger, registry, setServing, signal }) => {
      const caller = callerOptions(config, [config.trainer, config.evaluator]);
      const store = await openServiceStore({ config, logger, registry, setServing, signal });
      const metrics = createSchedulerMetrics(registry);
      const feed: ChangeFeed<void> = new ChangeFeed<void>({
        what: 'WatchSchedule',
        look: async (key, signal) => {
          const { name, uid } = scheduleOfWatchKey(key);
          return { number: await schedules.newestNumber(name, uid, signal), value: undefined };
        },
        pollMs: config.watchPollMs,
        maxWatches: config.maxWatches,
        onError: (error) => logger.warn({ error }, 'a watched schedule could not be read'),
      });
      const schedules: ScheduleStore = new ScheduleStore(store.prompt, {
        onRevision: (schedule, revision) => feed.notify(watchKey(schedule), { number: revision, value: undefined }),
      });
      const scaling = forwardingScaler(config, caller, registry, (error) =>
        logger.warn({ error }, 'the scaler could not find out what is wanted'),
      );
      return {
        services: [
          service(SchedulerService, schedulerNames, schedulerHandlers({ schedules, feed, metrics })),
          externalScaler(scaling.scaler),
        ],
        beforeScrape: () => metrics.watches.set(feed.watches),
        close: async () => {
          feed.close();
          scaling.close();
          schedules.close();
          await store.close();
        },
      };
    },
  });
}

/** The command `dropstream serve scheduler …`. @param argv arguments without node and script */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    process.stdout.write(`Usage: dropstream serve scheduler [options]\n\n${schedulerConfig.help()}\n`);
    return;
  }
  await runService({ name: 'scheduler', start: async () => await start(schedulerConfig.parse({ argv, env: process.env })) });
}
