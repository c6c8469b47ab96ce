/** Series of the scheduler. No schedule names: they would grow without bound. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface SchedulerMetrics {
  readonly revisions: Counter<'change'>;
  readonly rates: Counter;
  readonly watches: Gauge;
}

const changes = ['create', 'update', 'delete'] as const;

export function createSchedulerMetrics(registry: Registry): SchedulerMetrics {
  const registers = [registry];
  const revisions = new Counter({
    name: 'dropstream_scheduler_revisions_total',
    help: 'Schedule revisions stored by this replica, by what made them.',
    labelNames: ['change'],
    registers,
  });
  for (const change of changes) revisions.inc({ change }, 0);
  return {
    revisions,
    rates: new Counter({ name: 'dropstream_scheduler_rates_total', help: 'Rates answered by GetRates and PreviewSchedule.', registers }),
    watches: new Gauge({ name: 'dropstream_scheduler_watches', help: 'WatchSchedule calls open now.', registers }),
  };
}
