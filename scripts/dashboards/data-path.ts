import { type Dashboard, lines, mean, orZero, quantile, query } from './dashboard.js';

export const dataPath: Dashboard = {
  id: 'data-path',
  title: 'Data path',
  description: 'From the images of a data set to the batches that a worker computes with.',
  rows: [
    {
      title: 'What callers get',
      panels: [
        lines('Training that waits for data', 'percentunit', [query('share of time', 'dropstream:trainer_data_wait:ratio_rate10m')], {
          description: 'Near 0 the data replicas keep up. Add replicas where it is above 10 %.',
          min: 0,
        }),
        lines('Seconds that a step waits', 's', [
          query('median', quantile(0.5, 'dropstream_trainer_data_wait_seconds')),
          query('95 %', quantile(0.95, 'dropstream_trainer_data_wait_seconds')),
        ]),
        lines('Seconds until a batch is complete, 95 %', 's', [
          query(
            '{{grpc_method}}',
            quantile(0.95, 'grpc_server_handling_seconds', ['grpc_method'], '{grpc_service="dropstream.v1.DataService"}'),
          ),
        ]),
        lines('Images a second', 'short', [query('decoded and augmented', 'sum(rate(dropstream_data_images_total[$__rate_interval]))')]),
        lines('Batches a second', 'short', [
          query('{{format}}', 'sum by (format) (rate(dropstream_data_batches_total[$__rate_interval]))'),
        ]),
        lines('Payload', 'Bps', [query('sent', 'sum(rate(dropstream_data_payload_bytes_total[$__rate_interval]))')]),
      ],
    },
    {
      title: 'How a replica is used',
      panels: [
        lines('Seconds of a batch, by part', 's', [query('{{part}}', mean('dropstream_data_batch_seconds', ['part']))], {
          description: 'read and render overlap. A long wait means that others have their turn first.',
        }),
        lines('Batches in memory', 'bytes', [query('{{instance}}', 'sum by (instance) (dropstream_data_batch_bytes)')]),
        lines('Calls that wait', 'short', [query('{{instance}}', 'sum by (instance) (dropstream_data_waiting_calls)')]),
        lines('Clients', 'short', [query('{{instance}}', 'sum by (instance) (dropstream_data_clients)')]),
        lines('Batches made ahead, a second', 'short', [
          query('{{outcome}}', orZero('sum by (outcome) (rate(dropstream_data_ahead_total[$__rate_interval]))')),
        ]),
        lines('Open data sets', 'short', [query('{{instance}}', 'sum by (instance) (dropstream_data_open_datasets)')]),
      ],
    },
    {
      title: 'What goes wrong',
      panels: [
        lines('Undecodable images', 'percentunit', [query('share', 'dropstream:data_undecodable:ratio_rate1h')], {
          description: 'Each was replaced by another image.',
          min: 0,
        }),
        lines('Damaged samples in an hour', 'short', [query('damaged', 'sum(increase(dropstream_data_damaged_samples_total[1h]))')]),
        lines('Calls refused a second, by limit', 'short', [
          query('{{bound}}', 'sum by (bound) (rate(dropstream_data_refused_total[$__rate_interval]))'),
        ]),
      ],
    },
    {
      title: 'Disk cache',
      panels: [
        lines('Reads that tried the cache, a second', 'short', [
          query('{{outcome}}', orZero('sum by (outcome) (rate(dropstream_data_cache_reads_total[$__rate_interval]))')),
        ]),
        lines('Bytes of the cache', 'Bps', [
          query('{{what}}', orZero('sum by (what) (rate(dropstream_data_cache_bytes_total[$__rate_interval]))')),
        ]),
      ],
    },
  ],
};
