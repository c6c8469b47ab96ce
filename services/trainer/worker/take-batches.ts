/** Takes the micro-batches of a step or of a leaf, all of them or none. */
import type { PreparedBatch, PreparedBatches } from '#training/prepared-batches.js';

/** Micro-batches in order. */
export type BatchSource = Pick<PreparedBatches, 'next'>;

/** The next `count` batches, which the caller releases. @param whose what needs them, for the error @throws what `next` throws */
export async function takeBatches(batches: BatchSource, count: number, whose: string, signal: AbortSignal): Promise<PreparedBatch[]> {
  const taken: PreparedBatch[] = [];
  try {
    while (taken.length < count) {
      const batch = await batches.next(signal);
      if (batch === undefined) throw new Error(`${whose} lacks ${count - taken.length} batches, because the batches of the run ended`);
      taken.push(batch);
    }
    return taken;
  } catch (error) {
    releaseBatches(taken);
    throw error;
  }
}

export function releaseBatches(batches: readonly PreparedBatch[]): void {
  for (const batch of batches) batch.release();
}
