import { type Dashboard, lines, orZero, quantile, query } from './dashboard.js';

const bySide = (side: 'server' | 'client') => `grpc_${side}_handling_seconds`;
const windows = ['5m', '30m', '1h', '6h', '3d'];

export const grpc: Dashboard = {
  id: 'grpc',
  title: 'gRPC',
  description: 'Calls that services answer, and calls that they make to each other.',
  rows: [
    {
      title: 'Promises: at most 0.1 % of the calls fail because of the service',
      panels: [
        lines(
          'Share of calls that fail, by window',
          'percentunit',
          windows.map((window) => query(`{{grpc_service}} ${window}`, `dropstream:grpc_errors:ratio_rate${window}`)),
          { width: 12, min: 0 },
        ),
        lines(
          'How fast the error budget burns',
          'short',
          [
            query('{{grpc_service}} 1 h', 'dropstream:grpc_errors:ratio_rate1h / 0.001'),
            query('{{grpc_service}} 6 h', 'dropstream:grpc_errors:ratio_rate6h / 0.001'),
            query('{{grpc_service}} 3 d', 'dropstream:grpc_errors:ratio_rate3d / 0.001'),
          ],
          {
            description: 'Somebody is called where 1 h is above 14.4 or 6 h above 6; there is a ticket where 3 d is above 1.',
            width: 12,
            min: 0,
          },
        ),
      ],
    },
    {
      title: 'Calls that are answered',
      panels: [
        lines('Calls a second, by service', 'reqps', [
          query('{{grpc_service}}', 'sum by (grpc_service) (rate(grpc_server_handled_total[$__rate_interval]))'),
        ]),
        lines('Calls a second, by method', 'reqps', [
          query(
            '{{grpc_method}}',
            'sum by (grpc_method) (rate(grpc_server_handled_total{grpc_service=~"dropstream.+"}[$__rate_interval]))',
          ),
        ]),
        lines('Calls a second, by status', 'reqps', [
          query('{{grpc_code}}', 'sum by (grpc_code) (rate(grpc_server_handled_total[$__rate_interval]))'),
        ]),
        lines('Seconds of a unary call, median', 's', [
          query('{{grpc_service}}', quantile(0.5, bySide('server'), ['grpc_service'], '{grpc_type="unary"}')),
        ]),
        lines(
          'Seconds of a unary call, 99 %',
          's',
          [query('{{grpc_service}}', quantile(0.99, bySide('server'), ['grpc_service'], '{grpc_type="unary"}'))],
          { description: 'The points are exemplars: the trace ids of single calls, which the logs have too.' },
        ),
        lines(
          'Calls that go on',
          'short',
          [
            query(
              '{{grpc_service}}',
              'sum by (grpc_service) (grpc_server_started_total) - sum by (grpc_service) (grpc_server_handled_total)',
            ),
          ],
          { description: 'Mostly watches and streams of batches.', min: 0 },
        ),
        lines('Messages a second', 'ops', [
          query('received', 'sum(rate(grpc_server_msg_received_total[$__rate_interval]))'),
          query('sent', 'sum(rate(grpc_server_msg_sent_total[$__rate_interval]))'),
        ]),
        lines('Schedules', 'short', [
          query('open watches', 'sum(dropstream_scheduler_watches)'),
          query('revisions in an hour: {{change}}', 'sum by (change) (increase(dropstream_scheduler_revisions_total[1h]))'),
        ]),
        lines(
          'Files that cannot be used or written',
          'short',
          [
            query('TLS: {{instance}}', orZero('dropstream_tls_files_unusable > 0')),
            query('audit: {{instance}}', orZero('dropstream_audit_failing > 0')),
          ],
          { description: 'Above 0 where certificates cannot be used or the audit cannot be written.', min: 0 },
        ),
      ],
    },
    {
      title: 'Calls that services make',
      panels: [
        lines('Calls a second, by method', 'reqps', [
          query(
            '{{grpc_service}}/{{grpc_method}}',
            'sum by (grpc_service, grpc_method) (rate(grpc_client_handled_total[$__rate_interval]))',
          ),
        ]),
        lines('Calls a second, by status', 'reqps', [
          query('{{grpc_code}}', 'sum by (grpc_code) (rate(grpc_client_handled_total[$__rate_interval]))'),
        ]),
        lines('Seconds of a call, 95 %', 's', [query('{{grpc_service}}', quantile(0.95, bySide('client'), ['grpc_service']))]),
      ],
    },
  ],
};
