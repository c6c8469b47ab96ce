/** The trainer service: the api role answers calls about runs, the worker role trains them. */
import { expectBulkMemory } from '#data/client/bulk-memory.js';
import { InvalidArgument, invalid } from '#errors/errors.js';
import { EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { TrainerServiceService } from '#protocol/dropstream/v1/trainer.js';
import { connect } from '#rpc/client.js';
import { service } from '#rpc/handlers.js';
import { hostPort } from '#rpc/loopback.js';
import { runService } from '#rpc/process.js';
import { callerOptions } from '#rpc/service-options.js';
import { openServiceStore } from '#rpc/service-store.js';
import { type RunningService, type StartOptions, startService } from '#rpc/start-service.js';
import { externalScaler } from '#scaling/external-scaler.js';
import { clientToAsk } from '#training/batch-fits.js';
import { warnOfQueue01 } from '#work/queue-of-01.js';
import { Datasets } from './api/dataset-facts.js';
import { trainerNames } from './api/request-names.js';
import { isWaiting, Runs } from './api/runs.js';
import { trainerHandlers } from './api/runs-service.js';
import { trainerScaler } from './api/trainer-scaler.js';
import { type TrainerConfig, trainerConfig } from './config.js';
import { createTrainerMetrics } from './metrics.js';
import { runQueue } from './run/run-log.js';
import { GroupDoors } from './worker/group/doors.js';
import { groupService } from './worker/group/group-handlers.js';
import { createGroupMetrics } from './worker/group/group-metrics.js';
import { reachableHost } from './worker/group/reachable-host.js';
import { createRunWorker } from './worker/run-worker.js';

export type { TrainerConfig } from './config.js';

/** Milliseconds that a scrape of the metrics may wait for the store. */
const scrapeMs = 3000;

/** Starts the service in this process. The caller must close it; closing saves checkpoints and gives runs back, as SIGTERM does. */
export async function start(
  config: TrainerConfig,
  options: Pick<StartOptions, 'logger' | 'processMetrics' | 'signal'> = {},
): Promise<RunningService> {
  const [answers, works] = [config.role !== 'worker', config.role !== 'api'];
  if (works && config.data.length === 0) {
    throw new InvalidArgument([{ field: '--data', value: '', allowed: 'the host:port of at least one data replica, for a worker' }]);
  }
  if (works && answers && config.exitWhenIdle > 0) throw invalid('--exit-when-idle', config.exitWhenIdle, '0, unless --role is worker');
  const idle = new AbortController();
  return await startService({
    name: 'trainer',
    config,
    ...options,
    finished: idle.signal,
    server: { places: { hidden: [config.store] } },
    build: async ({ logger, registry, setServing, quotas, signal }) => {
      // What cannot be right is known before anything is waited for, and before anything has to be closed.
      const caller = callerOptions(config, [...config.data, config.scheduler, config.evaluator]);
      const store = await openServiceStore({ config, logger, registry, setServing, signal });
      await warnOfQueue01(store.prompt, 'run', logger, signal);
      const metrics = createTrainerMetrics(registry);
      const scheduler = config.scheduler === '' ? undefined : connect(SchedulerServiceClient, config.scheduler, { registry, ...caller });
      const evaluator = config.evaluator === '' ? undefined : connect(EvaluatorServiceClient, config.evaluator, { registry, ...caller });
      const runs = new Runs({
        store: store.prompt,
        watchPollMs: Math.min(config.pollMs, 500),
        onError: (error) => logger.warn({ error }, 'a watched run could not be read'),
        quotasOf: quotas.of,
      });
      const scaling = answers
        ? trainerScaler({
            ...{ runs, data: config.data, evaluator: config.evaluator, caller, quotasOf: quotas.of, registry, pollMs: config.pollMs },
            onError: (error) => logger.warn({ error }, 'the scaler could not find out what is wanted'),
          })
        : undefined;
      const host = reachableHost(config.groupHost, config.host);
      const silenceMs = config.memberSilenceMs;
      const group = works ? { doors: new GroupDoors(silenceMs), host, silenceMs, metrics: createGroupMetrics(registry) } : undefined;
      const onIdle = (): void => idle.abort();
      const worker = works
        ? createRunWorker({ store: store.patient, config, caller, evaluator, scheduler, quotas, group, metrics, logger, onIdle })
        : undefined;
      worker?.start();
      const data = answers ? clientToAsk(config.data, caller) : undefined;
      const handlers = trainerHandlers({ store: store.prompt, runs, datasets: new Datasets(store.prompt), scheduler, data });
      return {
        services: [
          ...(scaling ? [service(TrainerServiceService, trainerNames, handlers), externalScaler(scaling.scaler)] : []),
          ...(group ? [groupService(group.doors)] : []),
        ],
        listening: (port) => {
          if (group) group.doors.address = hostPort(host, port);
        },
        // Those that help with a run of this worker need it until the run is given back.
        servesWhileDraining: !answers,
        beforeScrape: async () => {
          const signal = AbortSignal.timeout(scrapeMs);
          // There may be very many workers, so they count names and read no run.
          const waiting = answers
            ? runs.wanting(signal).then((wanting) => wanting.filter(isWaiting).length)
            : runQueue(store.prompt)
                .hints.list(signal)
                .then(({ claims }) => claims.length);
          // If the store does not answer, the metric keeps its last value.
          await waiting.then(
            (count) => metrics.queueDepth.set(count),
            () => {},
          );
        },
        // Even with a short grace period, a run that is given back needs its checkpoint.
        drain: async () => await worker?.stop(),
        close: async () => {
          await worker?.stop();
          runs.close();
          scaling?.close();
          data?.close();
          scheduler?.close();
          evaluator?.close();
          await store.close();
        },
      };
    },
  });
}

/** The command `dropstream serve trainer …`. @param argv arguments without node and script */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    process.stdout.write(`Usage: dropstream serve trainer [options]\n\n${trainerConfig.help()}\n`);
    return;
  }
  expectBulkMemory();
  await runService({ name: 'trainer', start: async () => await start(trainerConfig.parse({ argv, env: process.env })) });
}
