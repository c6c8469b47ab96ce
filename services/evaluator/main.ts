/** The evaluator service: the api role answers calls about evaluations, the worker role evaluates checkpoints. */
import { expectBulkMemory } from '#data/client/bulk-memory.js';
import { InvalidArgument, invalid } from '#errors/errors.js';
import { EvaluatorServiceService } from '#protocol/dropstream/v1/evaluator.js';
import { service } from '#rpc/handlers.js';
import { runService } from '#rpc/process.js';
import { callerOptions } from '#rpc/service-options.js';
import { openServiceStore } from '#rpc/service-store.js';
import { type RunningService, type StartOptions, startService } from '#rpc/start-service.js';
import { externalScaler } from '#scaling/external-scaler.js';
import { Scaler } from '#scaling/scaler.js';
import { createScalerMetrics } from '#scaling/scaler-metrics.js';
import { workByProject, workersWanted } from '#scaling/wanted.js';
import { clientToAsk } from '#training/batch-fits.js';
import { warnOfQueue01 } from '#work/queue-of-01.js';
import { Evaluations } from './api/evaluations.js';
import { evaluatorHandlers } from './api/evaluator-service.js';
import { evaluatorNames } from './api/request-names.js';
import { type EvaluatorConfig, evaluatorConfig } from './config.js';
import { evaluationQueue } from './evaluation/evaluation-log.js';
import { createEvaluatorMetrics } from './metrics.js';
import { createEvaluationWorker } from './worker/evaluation-worker.js';

export type { EvaluatorConfig } from './config.js';

/** Milliseconds that a scrape of the metrics may wait for the store. */
const scrapeMs = 3000;

/** Starts the service in this process. The caller must close it. */
export async function start(
  config: EvaluatorConfig,
  options: Pick<StartOptions, 'logger' | 'processMetrics' | 'signal'> = {},
): Promise<RunningService> {
  const [answers, works] = [config.role !== 'worker', config.role !== 'api'];
  if (works && config.data.length === 0) {
    throw new InvalidArgument([{ field: '--data', value: '', allowed: 'the host:port of at least one data replica, for a worker' }]);
  }
  if (works && answers && config.exitWhenIdle > 0) throw invalid('--exit-when-idle', config.exitWhenIdle, '0, unless --role is worker');
  const idle = new AbortController();
  return await startService({
    name: 'evaluator',
    config,
    ...options,
    finished: idle.signal,
    server: { places: { hidden: [config.store] } },
    build: async ({ logger, registry, setServing, quotas, signal }) => {
      // What cannot be right is known before anything is waited for, and before anything has to be closed.
      const caller = callerOptions(config, config.data);
      const store = await openServiceStore({ config, logger, registry, setServing, signal });
      await warnOfQueue01(store.prompt, 'evaluation', logger, signal);
      const metrics = createEvaluatorMetrics(registry);
      const evaluations = new Evaluations({
        store: store.prompt,
        watchPollMs: Math.min(config.pollMs, 500),
        onError: (error) => logger.warn({ error }, 'a watched evaluation could not be read'),
        quotasOf: quotas.of,
      });
      const scaler = answers
        ? new Scaler({
            sources: {
              'evaluator-worker': async (_, signal) =>
                workersWanted(workByProject(await evaluations.queued(signal)), (project) => quotas.of(project).workers),
            },
            otherwise: 'an evaluator answers for evaluator-worker; the trainer answers for trainer-worker and data',
            metrics: createScalerMetrics(registry),
            pollMs: config.pollMs,
            onError: (error) => logger.warn({ error }, 'the scaler could not find out what is wanted'),
          })
        : undefined;
      const onIdle = (): void => idle.abort();
      const worker = works ? createEvaluationWorker({ store: store.patient, config, caller, quotas, metrics, logger, onIdle }) : undefined;
      worker?.start();
      const data = answers ? clientToAsk(config.data, caller) : undefined;
      const handlers = evaluatorHandlers({ store: store.prompt, evaluations, data });
      return {
        services: scaler ? [service(EvaluatorServiceService, evaluatorNames, handlers), externalScaler(scaler)] : [],
        beforeScrape: async () => {
          const signal = AbortSignal.timeout(scrapeMs);
          // There may be very many workers, so they count names and read no evaluation.
          const waiting = answers
            ? evaluations.queued(signal).then((queued) => queued.filter(({ waits }) => waits).length)
            : evaluationQueue(store.prompt)
                .hints.list(signal)
                .then(({ claims }) => claims.length);
          // If the store does not answer, the metric keeps its last value.
          await waiting.then(
            (count) => metrics.queueDepth.set(count),
            () => {},
          );
        },
        drain: async () => await worker?.stop(),
        close: async () => {
          await worker?.stop();
          evaluations.close();
          scaler?.close();
          data?.close();
          await store.close();
        },
      };
    },
  });
}

/** The command `dropstream serve evaluator …`. @param argv arguments without node and script */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    process.stdout.write(`Usage: dropstream serve evaluator [options]\n\n${evaluatorConfig.help()}\n`);
    return;
  }
  expectBulkMemory();
  await runService({ name: 'evaluator', start: async () => await start(evaluatorConfig.parse({ argv, env: process.env })) });
}
