/** Asks the data service whether it can hold the batches of a new run. */
import type { BatchClient } from '#data/client/batch-client.js';
import { invalid, NeverFits } from '#errors/errors.js';
import { trainingPlan } from '../run/batch-plans.js';
import type { ResolvedSpec } from '../run/run-spec.js';

export type DataClient = Pick<BatchClient, 'describe'>;

/**
 * A data service that does not answer, or does not have the data set yet, is no reason to refuse the run: its worker waits for it.
 * @throws InvalidArgument if no replica can ever hold a batch of the run; the signal's reason
 */
export async function checkBatchFits(data: DataClient, spec: ResolvedSpec, signal: AbortSignal): Promise<void> {
  try {
    await data.describe(spec.trainManifest, signal, trainingPlan(spec));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof NeverFits)) return;
    const { needed, limit } = error;
    throw invalid('spec.batch_size', spec.batchSize, `smaller, because a batch needs ${needed}, and its limit is ${limit}`);
  }
}
