import type { GetBatchQuery } from './requests.js';

/** The batches that a call announces (read_ahead), in order, across the end of its epoch. */
export function followingBatches(query: GetBatchQuery, batchesPerEpoch: number): GetBatchQuery[] {
  return Array.from({ length: query.readAhead }, (_, i) => {
    const index = query.index + 1 + i;
    const [epoch, rest] = [query.epoch + Math.floor(index / batchesPerEpoch), index % batchesPerEpoch];
    return { ...query, epoch, index: rest, readAhead: 0 };
  });
}
