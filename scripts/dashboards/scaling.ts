import { type Dashboard, lines, query } from './dashboard.js';

export const scaling: Dashboard = {
  id: 'scaling',
  title: 'Scaling',
  description: 'How much work there is, how much of it the scaler wants done at once, and what there is to do it.',
  rows: [
    {
      title: 'Work and what does it',
      panels: [
        lines('Runs', 'short', [
          query('waiting', 'max(dropstream_trainer_queue_depth)'),
          query('training', 'sum(dropstream_trainer_runs_active)'),
        ]),
        lines('Evaluations', 'short', [
          query('waiting', 'max(dropstream_evaluator_queue_depth)'),
          query('running', 'sum(dropstream_evaluator_evaluations_active)'),
        ]),
        lines('Processes', 'short', [query('{{service}}', 'count by (service) (dropstream_build_info)')]),
        lines('Data: calls that wait', 'short', [query('waiting', 'sum(dropstream_data_waiting_calls)')]),
        lines('Training that waits for data', 'percentunit', [query('share of time', 'dropstream:trainer_data_wait:ratio_rate10m')], {
          min: 0,
        }),
        lines(
          'Starts of processes in an hour',
          'short',
          [
            query(
              '{{service}}',
              'sum by (service) (changes(process_start_time_seconds[1h]) * on (instance) group_left (service) dropstream_build_info)',
            ),
          ],
          { description: 'At one address; workers that come and go with runs have a new one each.' },
        ),
        lines('Processor, by service', 'cores', [
          query(
            '{{service}}',
            'sum by (service) (rate(process_cpu_seconds_total[$__rate_interval]) * on (instance) group_left (service) dropstream_build_info)',
          ),
        ]),
        lines('Memory, by service', 'bytes', [
          query(
            '{{service}}',
            'sum by (service) (process_resident_memory_bytes * on (instance) group_left (service) dropstream_build_info)',
          ),
        ]),
        lines(
          'Attempts that were given back or lost, in an hour',
          'short',
          [query('{{outcome}}', 'sum by (outcome) (increase(dropstream_trainer_attempts_total{outcome=~"stopped|lost"}[1h]))')],
          { description: 'stopped: a worker was evicted and gave the run back; lost: it vanished without that.' },
        ),
      ],
    },
  ],
};
