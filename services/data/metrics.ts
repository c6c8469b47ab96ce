/** The data service's own series. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { CacheCounts } from '#data/sources/disk-cache.js';
import { DataLoss, ResourceExhausted } from '#errors/errors.js';

/** What calls are refused for; named in the error and in the series. */
export const bounds = { bytes: 'bytes of batches', waiting: 'calls that wait' } as const;

export type DataMetrics = ReturnType<typeof createDataMetrics>;

export function createDataMetrics(registry: Registry) {
  const registers = [registry];
  const seconds = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30];
  const refused = new Counter({
    name: 'dropstream_data_refused_total',
    help: 'Calls refused because a bound was reached: bytes of batches in memory, or calls that wait.',
    labelNames: ['bound'],
    registers,
  });
  // Series begin at 0, so that rates count from the first refusal.
  for (const bound of Object.values(bounds)) refused.inc({ bound }, 0);
  return {
    batches: new Counter({
      name: 'dropstream_data_batches_total',
      help: 'Batches made, by pixel format.',
      labelNames: ['format'],
      registers,
    }),
    images: new Counter({ name: 'dropstream_data_images_total', help: 'Images decoded and augmented.', registers }),
    payloadBytes: new Counter({
      name: 'dropstream_data_payload_bytes_total',
      help: 'Bytes of payload handed to the transport.',
      registers,
    }),
    making: new Histogram({
      name: 'dropstream_data_batch_seconds',
      help: 'Seconds to make a batch, by part: wait (for a turn), read and render (overlapping), finish, hash.',
      labelNames: ['part'],
      buckets: seconds,
      registers,
    }),
    undecodable: new Counter({
      name: 'dropstream_data_undecodable_images_total',
      help: 'Images whose bytes match their manifest and that could not be decoded: another one stood in.',
      registers,
    }),
    damaged: new Counter({
      name: 'dropstream_data_damaged_samples_total',
      help: 'Samples whose bytes are gone or differ from their manifest.',
      registers,
    }),
    refused,
    ahead: new Counter({
      name: 'dropstream_data_ahead_total',
      help: 'Batches made before they were asked for, by whether they were then asked for (taken) or not (dropped).',
      labelNames: ['outcome'],
      registers,
    }),
    clients: new Gauge({ name: 'dropstream_data_clients', help: 'Clients that hold bytes of batches or wait for them.', registers }),
    bytesHeld: new Gauge({ name: 'dropstream_data_batch_bytes', help: 'Bytes of batches in memory.', registers }),
    waiting: new Gauge({ name: 'dropstream_data_waiting_calls', help: 'Calls that wait for their turn.', registers }),
    cacheReads: new Counter({
      name: 'dropstream_data_cache_reads_total',
      help: 'Reads of the disk cache before a store was asked, by outcome: hit or miss. None without --cache.',
      labelNames: ['outcome'],
      registers,
    }),
    cacheBytes: new Counter({
      name: 'dropstream_data_cache_bytes_total',
      help: 'Bytes that this replica has written to the disk cache or evicted from it, by what.',
      labelNames: ['what'],
      registers,
    }),
    datasets: new Gauge({ name: 'dropstream_data_open_datasets', help: 'Data sets kept open.', registers }),
  };
}

/** Brings the cache's counters to what the cache counts itself. */
export function countCache({ cacheReads, cacheBytes }: DataMetrics, counts: CacheCounts | undefined): void {
  if (!counts) return;
  cacheReads.reset();
  cacheReads.inc({ outcome: 'hit' }, counts.hits);
  cacheReads.inc({ outcome: 'miss' }, counts.misses);
  cacheBytes.reset();
  cacheBytes.inc({ what: 'written' }, counts.writtenBytes);
  cacheBytes.inc({ what: 'evicted' }, counts.evictedBytes);
}

/** Runs `enter` and records how long its caller waited for it. */
export async function timeWait<T>(metrics: DataMetrics, enter: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  const entered = await enter();
  metrics.making.observe({ part: 'wait' }, (performance.now() - begun) / 1000);
  return entered;
}

/** Runs `work` and counts the failures that operators should see. */
export async function countFailures<T>(metrics: DataMetrics, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ResourceExhausted) metrics.refused.inc({ bound: error.what.split(':')[0] as string });
    if (error instanceof DataLoss) metrics.damaged.inc();
    throw error;
  }
}
