/**
 * One prom-client registry for each service, with series for build info, the process and the event loop. Names use base units, have `_total` on
 * counters only, and histograms have no run id; `promtool check metrics` accepts the page.
 */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';

export interface MetricsOptions {
  /** Name of the service, which is a label of the build info. */
  readonly service: string;
  readonly version: string;
  /**
   * Whether to export memory, CPU, garbage collection and event-loop series of the process; default true. Off if several services share a process.
   */
  readonly process?: boolean;
}

/** Gauges to which prom-client gives names like those of counters. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export function createRegistry(options: MetricsOptions): Registry {
  const registry = new Registry();
  if (options.process !== false) {
    collectDefaultMetrics({ register: registry });
    for (const name of misnamed) registry.removeSingleMetric(name);
  }
  new Gauge({
    name: 'dropstream_build_info',
    help: 'Always 1; the labels name the service and its version.',
    labelNames: ['service', 'version', 'node'],
    registers: [registry],
  }).set({ service: options.service, version: options.version, node: process.versions.node }, 1);
  return registry;
}
