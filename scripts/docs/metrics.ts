/** The page that lists every metric, from the registries themselves. */
import { Registry } from 'prom-client';
import { createAuditMetrics } from '#rpc/open-audit.js';
import { createScalerMetrics } from '#scaling/scaler-metrics.js';
import { createGrpcClientMetrics, createGrpcServerMetrics } from '#telemetry/grpc-metrics.js';
import { createRegistry } from '#telemetry/metrics.js';
import { createStoreMetrics } from '#telemetry/store-metrics.js';
import { createTlsMetrics } from '#telemetry/tls-metrics.js';
import { createDataMetrics } from '../../services/data/metrics.js';
import { createEvaluatorMetrics } from '../../services/evaluator/metrics.js';
import { createHttpMetrics } from '../../services/gateway/metrics.js';
import { createSchedulerMetrics } from '../../services/scheduler/metrics.js';
import { createTrainerMetrics } from '../../services/trainer/metrics.js';
import { createGroupMetrics } from '../../services/trainer/worker/group/group-metrics.js';
import { cell, code, generatedFrom, table } from './markdown.js';

const create: Readonly<Record<string, (registry: Registry) => unknown>> = {
  'Data service': createDataMetrics,
  Scheduler: createSchedulerMetrics,
  Trainer: (registry) => [createTrainerMetrics(registry), createGroupMetrics(registry)],
  Evaluator: createEvaluatorMetrics,
  Gateway: createHttpMetrics,
};

/** What a metric of prom-client says about itself; its types leave `labelNames` out. */
interface Described {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  get(): Promise<{ readonly type: string }>;
}

export async function metricsPage(): Promise<string> {
  const out = [
    generatedFrom('the registries of the services'),
    '# Metrics',
    '',
    'Every service answers `/metrics` on its admin port (1000 above its gRPC port), in the text format of Prometheus, or as OpenMetrics for those who ask',
    'for it. Times are in seconds, sizes in bytes. [Operating](../operating.md) says which of them to watch.',
    '',
    'Names of the project begin with `dropstream_`. Metrics of calls keep the names of the gRPC middlewares (`grpc_server_*`, `grpc_client_*`), so that',
    'dashboards and alerts that you have for other gRPC services work for these, too.',
  ];
  for (const [title, add] of Object.entries(create)) {
    const registry = new Registry();
    add(registry);
    out.push('', `## ${title}`, '', ...(await rows(registry)));
  }
  const common = createRegistry({ service: 'any', version: '0', process: false });
  createGrpcServerMetrics(common);
  createGrpcClientMetrics(common);
  createStoreMetrics(common);
  createTlsMetrics(common);
  createAuditMetrics(common);
  createScalerMetrics(common);
  out.push('', '## All services', '', ...(await rows(common)));
  out.push(
    '',
    "Besides these, every service has prom-client's standard series of the process (`process_*`) and of Node (`nodejs_*`): processor time, memory,",
    'garbage collection and the delay of the event loop.',
  );
  return `${out.join('\n')}\n`;
}

async function rows(registry: Registry): Promise<string[]> {
  const metrics = registry.getMetricsAsArray() as unknown as Described[];
  return table(
    ['metric', 'type', 'labels', 'meaning'],
    await Promise.all(
      metrics.map(async (metric) => [
        code(metric.name),
        (await metric.get()).type,
        metric.labelNames.map(code).join(', ') || 'none',
        cell(metric.help),
      ]),
    ),
  );
}
