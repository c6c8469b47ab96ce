/** Metrics of the data service. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { CacheCounts } from '#data/sources/disk-cache.js';

/** Limits that calls can exceed; both the error and the metric name them. */
export const bounds = { bytes: 'bytes of batches', waiting: 'calls that wait', unread: 'streams that are not read' } as const;

export type DataMetrics = ReturnType<typeof createDataMetrics>;

export function createDataMetrics(registry: Registry) {
  const registers = [registry];
  const seconds = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30];
  const refused = new Counter({
    name: 'dropstream_data_refused_total',
    help: 'Number of calls refused because a limit was reached: bytes of batches in memory, waiting calls, or streams that are not read.',
    labelNames: ['bound'],
    registers,
  });
  // All series start at 0, so that rates include the first refusal.
  for (const bound of Object.values(bounds)) refused.inc({ bound }, 0);
  return {
    batches: new Counter({
      name: 'dropstream_data_batches_total',
      help: 'Number of batches prepared, by pixel format.',
      labelNames: ['format'],
      registers,
    }),
    images: new Counter({ name: 'dropstream_data_images_total', help: 'Number of images decoded and augmented.', registers }),
    payloadBytes: new Counter({
      name: 'dropstream_data_payload_bytes_total',
      help: 'Number of payload bytes passed to the transport.',
      registers,
    }),
    making: new Histogram({
      name: 'dropstream_data_batch_seconds',
      help: 'Seconds to prepare a batch, by part: wait (for a turn), read and render (which overlap), finish, hash.',
      labelNames: ['part'],
      buckets: seconds,
      registers,
    }),
    undecodable: new Counter({
      name: 'dropstream_data_undecodable_images_total',
      help: 'Number of images that could not be decoded although their bytes match the manifest; each was replaced by another image.',
      registers,
    }),
    damaged: new Counter({
      name: 'dropstream_data_damaged_samples_total',
      help: 'Number of samples whose bytes are missing or differ from the manifest.',
      registers,
    }),
    refused,
    ahead: new Counter({
      name: 'dropstream_data_ahead_total',
      help: 'Number of batches prepared before they were requested, by whether they were requested later (taken) or not (dropped).',
      labelNames: ['outcome'],
      registers,
    }),
    clients: new Gauge({ name: 'dropstream_data_clients', help: 'Number of clients that receive batches or wait for them.', registers }),
    bytesHeld: new Gauge({ name: 'dropstream_data_batch_bytes', help: 'Number of bytes of batches in memory.', registers }),
    waiting: new Gauge({ name: 'dropstream_data_waiting_calls', help: 'Number of calls that wait for their turn.', registers }),
    cacheReads: new Counter({
      name: 'dropstream_data_cache_reads_total',
      help: 'Number of reads that tried the disk cache, by outcome: hit or miss. Always 0 without --cache.',
      labelNames: ['outcome'],
      registers,
    }),
    cacheBytes: new Counter({
      name: 'dropstream_data_cache_bytes_total',
      help: 'Number of bytes that this replica wrote to the disk cache (written) or removed from it (evicted).',
      labelNames: ['what'],
      registers,
    }),
    datasets: new Gauge({ name: 'dropstream_data_open_datasets', help: 'Number of open data sets.', registers }),
  };
}

/** Copies the cache's own counts into the metrics. */
export function countCache({ cacheReads, cacheBytes }: DataMetrics, counts: CacheCounts | undefined): void {
  if (!counts) return;
  cacheReads.reset();
  cacheReads.inc({ outcome: 'hit' }, counts.hits);
  cacheReads.inc({ outcome: 'miss' }, counts.misses);
  cacheBytes.reset();
  cacheBytes.inc({ what: 'written' }, counts.writtenBytes);
  cacheBytes.inc({ what: 'evicted' }, counts.evictedBytes);
}
