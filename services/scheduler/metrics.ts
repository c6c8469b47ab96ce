/** Metrics of the scheduler. They have no label for schedule names, because the number of series would be unbounded. */
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
    help: 'Number of schedule revisions that this replica stored, by the call that made them.',
    labelNames: ['change'],
    registers,
  });
  for (const change of changes) revisions.inc({ change }, 0);
  return {
    revisions,
    rates: new Counter({
      name: 'dropstream_scheduler_rates_total',
      help: 'Number of rates that GetRates and PreviewSchedule returned.',
      registers,
    }),
    watches: new Gauge({ name: 'dropstream_scheduler_watches', help: 'Number of open WatchSchedule calls.', registers }),
  };
}
