import type { GetBatchQuery } from './requests.js';

/** The batches that follow a call's batch, in order, also beyond the end of its epoch. */
export function followingBatches(query: GetBatchQuery, batchesPerEpoch: number): GetBatchQuery[] {
  return Array.from({ length: query.readAhead }, (_, i) => {
    const index = query.index + 1 + i;
    const [epoch, rest] = [query.epoch + Math.floor(index / batchesPerEpoch), index % batchesPerEpoch];
    return { ...query, epoch, index: rest, readAhead: 0 };
  });
}
