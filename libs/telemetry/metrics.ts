/**
 * One prom-client registry per service: build info, process and event-loop series. Names: base units, `_total` on counters only, no run id
 * in histograms; `promtool check metrics` accepts the page.
 */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';

export interface MetricsOptions {
  /** Name of the service, a label of the build info. */
  readonly service: string;
  readonly version: string;
  /** Memory, CPU, garbage collection and event-loop series of the process; default true. Off where several services share a process. */
  readonly process?: boolean;
}

/** Gauges that prom-client names like counters. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export function createRegistry(options: MetricsOptions): Registry {
  const registry = new Registry();
  if (options.process !== false) {
    collectDefaultMetrics({ register: registry });
    for (const name of misnamed) registry.removeSingleMetric(name);
  }
  new Gauge({
    name: 'dropstream_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['service', 'version', 'node'],
    registers: [registry],
  }).set({ service: options.service, version: options.version, node: process.versions.node }, 1);
  return registry;
}
