import { type Dashboard, lines, mean, orZero, query, stat, table } from './dashboard.js';

export const overview: Dashboard = {
  id: 'overview',
  title: 'Overview',
  description: 'Whether everything works, and how much of it there is.',
  rows: [
    {
      title: 'Now',
      panels: [
        stat('Alerts that fire', 'short', orZero('count(ALERTS{alertname=~"Dropstream.+", alertstate="firing"})'), {
          warn: { from: 1, bad: 3 },
        }),
        stat('Services that answer', 'short', 'sum(up{job="dropstream"})'),
        stat('Store away', 'short', 'max(dropstream_store_away)', {
          description: '1 while a service gets no answer from the object store.',
          warn: { from: 1, bad: 1 },
        }),
        stat('Training runs', 'short', 'sum(dropstream_trainer_runs_active)'),
        stat('Waiting runs', 'short', 'max(dropstream_trainer_queue_depth)'),
        stat('Images a second', 'short', 'sum(rate(dropstream_trainer_images_total[$__rate_interval]))'),
      ],
    },
    {
      title: 'Work',
      panels: [
        lines('Runs', 'short', [
          query('training', 'sum(dropstream_trainer_runs_active)'),
          query('waiting', 'max(dropstream_trainer_queue_depth)'),
        ]),
        lines('Evaluations', 'short', [
          query('running', 'sum(dropstream_evaluator_evaluations_active)'),
          query('waiting', 'max(dropstream_evaluator_queue_depth)'),
        ]),
        lines('Attempts at runs that ended in an hour', 'short', [
          query('{{outcome}}', 'sum by (outcome) (increase(dropstream_trainer_attempts_total[1h]))'),
        ]),
        lines('Images a second', 'short', [
          query('trained', 'sum(rate(dropstream_trainer_images_total[$__rate_interval]))'),
          query('evaluated', 'sum(rate(dropstream_evaluator_images_total[$__rate_interval]))'),
        ]),
        lines('Attempts at evaluations that ended in an hour', 'short', [
          query('{{outcome}}', 'sum by (outcome) (increase(dropstream_evaluator_attempts_total[1h]))'),
        ]),
        lines('Seconds until a checkpoint is evaluated', 's', [query('commit to result', mean('dropstream_trainer_evaluation_seconds'))]),
      ],
    },
    {
      title: 'Promises',
      panels: [
        lines('Share of calls that fail', 'percentunit', [query('{{grpc_service}}', 'dropstream:grpc_errors:ratio_rate5m')], {
          description: 'The objective is that at most 0.1 % of the calls fail because of the service.',
          min: 0,
        }),
        lines('How fast the error budget burns', 'short', [query('{{grpc_service}}', 'dropstream:grpc_errors:ratio_rate1h / 0.001')], {
          description: 'At 1 the budget of 30 days lasts exactly 30 days. Somebody is called at 14.4 and at 6.',
          min: 0,
        }),
        lines('Training that waits for data', 'percentunit', [query('share of time', 'dropstream:trainer_data_wait:ratio_rate10m')], {
          description: 'Near 0 the data replicas keep up. Add replicas where it is above 10 %.',
          min: 0,
        }),
      ],
    },
    {
      title: 'Processes',
      panels: [
        lines('Memory', 'bytes', [query('{{instance}}', 'process_resident_memory_bytes{job="dropstream"}')]),
        lines('Processor', 'cores', [query('{{instance}}', 'rate(process_cpu_seconds_total{job="dropstream"}[$__rate_interval])')], {
          description: 'Cores in use.',
        }),
        lines('Event-loop delay, 99 %', 's', [query('{{instance}}', 'nodejs_eventloop_lag_p99_seconds{job="dropstream"}')], {
          description: 'Above half a second a process is too busy to answer.',
        }),
        table('Builds', 'dropstream_build_info'),
      ],
    },
  ],
};
