import { type Dashboard, lines, mean, orZero, quantile, query } from './dashboard.js';

export const store: Dashboard = {
  id: 'store',
  title: 'Store',
  description: 'What the services ask of the object store, and how it answers.',
  rows: [
    {
      title: 'Whether it answers',
      panels: [
        lines('Away', 'short', [query('{{instance}}', 'dropstream_store_away')], {
          description: '1 while a service gets no answer.',
          min: 0,
        }),
        lines(
          'Share of operations without an answer',
          'percentunit',
          [
            query(
              'unavailable',
              `(${orZero('sum(rate(dropstream_store_operation_seconds_count{outcome="unavailable"}[$__rate_interval]))')}) / sum(rate(dropstream_store_operation_seconds_count[$__rate_interval]))`,
            ),
          ],
          { min: 0 },
        ),
        lines(
          'Writes without room, a second',
          'ops',
          [query('full', orZero('sum(rate(dropstream_store_operation_seconds_count{outcome="full"}[$__rate_interval]))'))],
          { min: 0 },
        ),
      ],
    },
    {
      title: 'Operations',
      panels: [
        lines('Operations a second', 'ops', [
          query('{{operation}}', 'sum by (operation) (rate(dropstream_store_operation_seconds_count[$__rate_interval]))'),
        ]),
        lines('Operations a second, by service', 'ops', [
          query(
            '{{service}}',
            'sum by (service) (rate(dropstream_store_operation_seconds_count[$__rate_interval]) * on (instance) group_left (service) dropstream_build_info)',
          ),
        ]),
        lines(
          'Operations a second, by outcome',
          'ops',
          [query('{{outcome}}', 'sum by (outcome) (rate(dropstream_store_operation_seconds_count[$__rate_interval]))')],
          { description: 'absent and exists are answers: the end of a log is found by them.' },
        ),
        lines('Seconds of an operation, median', 's', [
          query('{{operation}}', quantile(0.5, 'dropstream_store_operation_seconds', ['operation'])),
        ]),
        lines('Seconds of an operation, 95 %', 's', [
          query('{{operation}}', quantile(0.95, 'dropstream_store_operation_seconds', ['operation'])),
        ]),
        lines('Seconds of an operation, 99 %', 's', [
          query('{{operation}}', quantile(0.99, 'dropstream_store_operation_seconds', ['operation'])),
        ]),
      ],
    },
    {
      title: 'Checkpoints',
      panels: [
        lines('Seconds of a checkpoint', 's', [query('snapshot to commit', mean('dropstream_trainer_checkpoint_seconds'))], { width: 12 }),
        lines('Checkpoints in an hour', 'short', [query('committed', 'sum(increase(dropstream_trainer_checkpoint_seconds_count[1h]))')], {
          width: 12,
        }),
      ],
    },
  ],
};
