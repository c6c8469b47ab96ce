/** Metrics of the scaler: what it last found, and how often it found nothing. */
import { Counter, Gauge, type Registry } from 'prom-client';

export type ScalerMetrics = ReturnType<typeof createScalerMetrics>;

export function createScalerMetrics(registry: Registry) {
  const registers = [registry];
  const labelNames = ['part'] as const;
  const errors = new Counter({
    name: 'dropstream_scaler_errors_total',
    help: 'Number of times that the scaler could not find out how much of a part is wanted, by part.',
    labelNames,
    registers,
  });
  const wanted = new Gauge({
    name: 'dropstream_scaler_wanted',
    help: 'What the scaler last found to be wanted, by part: workers of one claim each, and data replicas of one run each. Work that waits and work that is under way both count.',
    labelNames,
    registers,
  });
  return { errors, wanted };
}
