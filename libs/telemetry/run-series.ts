/** Removes a run's series when the run ends; otherwise a gauge would show the last loss of a finished run for ever. */
import type { Counter, Gauge, Registry } from 'prom-client';

/**
 * Removes every series of gauges and counters whose labels include all of `labels`, such as `{ project, run }`. Returns the number of removed series.
 */
export async function removeSeries(registry: Registry, labels: Readonly<Record<string, string>>): Promise<number> {
  const wanted = Object.entries(labels);
  let removed = 0;
  for (const metric of registry.getMetricsAsArray() as unknown as (Gauge | Counter)[]) {
    const { values, type } = await metric.get();
    // Histograms have no run label (metrics.ts), and the labels of their values differ from those of their series.
    if (String(type) === 'histogram' || String(type) === 'summary') continue;
    for (const value of values) {
      const has = value.labels as Record<string, string | number>;
      if (!wanted.every(([key, expected]) => String(has[key]) === expected)) continue;
      metric.remove(value.labels);
      removed++;
    }
  }
  return removed;
}
