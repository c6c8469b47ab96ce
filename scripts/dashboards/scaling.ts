import { type Dashboard, lines, orZero, quantile, query } from './dashboard.js';

const asked = '{grpc_service="externalscaler.ExternalScaler"}';
const unary = '{grpc_service="externalscaler.ExternalScaler", grpc_type="unary"}';
const streams = '{grpc_service="externalscaler.ExternalScaler", grpc_type="server_stream"}';

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
    {
      title: 'Scaler',
      panels: [
        lines('Wanted', 'short', [query('{{part}}', orZero('max by (part) (dropstream_scaler_wanted)'))], {
          description: 'What the scaler last found, by part. Work that waits and work that is under way both count. 0 where nobody asks.',
          min: 0,
        }),
        lines('Questions a second', 'reqps', [
          query('{{grpc_method}}', `sum by (grpc_method) (rate(grpc_server_handled_total${asked}[$__rate_interval]))`),
        ]),
        lines('Seconds of an answer, 95 %', 's', [
          query('{{grpc_method}}', quantile(0.95, 'grpc_server_handling_seconds', ['grpc_method'], unary)),
        ]),
        lines('Failures in an hour', 'short', [query('{{part}}', 'sum by (part) (increase(dropstream_scaler_errors_total[1h]))')], {
          min: 0,
        }),
        lines(
          'Streams that are open',
          'short',
          [
            query(
              '{{grpc_method}}',
              `sum by (grpc_method) (grpc_server_started_total${streams}) - sum by (grpc_method) (grpc_server_handled_total${streams})`,
            ),
          ],
          { min: 0 },
        ),
      ],
    },
  ],
};
