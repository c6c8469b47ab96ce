/**
 * The page of metrics in the two formats that Prometheus reads: its own text, and OpenMetrics, which also has exemplars. A scraper says in `Accept` what
 * it reads; Prometheus asks for OpenMetrics first.
 */
import { type Metric, type OpenMetricsContentType, Registry } from 'prom-client';

const openMetricsType = 'application/openmetrics-text';

export interface MetricsPage {
  readonly contentType: string;
  readonly text: string;
}

/** @param accept the request's header */
export async function metricsPage(registry: Registry, accept: string | undefined): Promise<MetricsPage> {
  if (!prefersOpenMetrics(accept)) return { contentType: registry.contentType, text: await registry.metrics() };
  const view = new Registry<OpenMetricsContentType>();
  view.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  // prom-client renames the counters that it writes in this format. They are views of ours, whose names stay.
  for (const metric of registry.getMetricsAsArray()) view.registerMetric(Object.create(metric) as Metric);
  return { contentType: view.contentType, text: await view.metrics() };
}

/** True if the header names OpenMetrics, and nothing else with a higher weight. A browser and `*` get the plain text. */
export function prefersOpenMetrics(accept = ''): boolean {
  const ranges = accept.split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    return { type, weight: weight >= 0 && weight <= 1 ? weight : 0 };
  });
  const best = Math.max(...ranges.map(({ weight }) => weight));
  return best > 0 && ranges.some(({ type, weight }) => type === openMetricsType && weight === best);
}
