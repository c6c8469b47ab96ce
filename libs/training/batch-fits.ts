/** Asks the data service, before work is stored, whether it can hold the batches of that work. */
import { BatchClient, type BatchClientOptions } from '#data/client/batch-client.js';
import { invalid, NeverFits } from '#errors/errors.js';
import type { Plan } from '#protocol/dropstream/v1/data.js';

export type DataClient = Pick<BatchClient, 'describe'>;

/** Milliseconds that a call waits for the answer of the data service. */
const askMs = 2000;

/** The client with which an api role asks; undefined without addresses. The caller closes it. */
export function clientToAsk(addresses: readonly string[], connect: NonNullable<BatchClientOptions['connect']>): BatchClient | undefined {
  return addresses.length === 0 ? undefined : new BatchClient({ addresses, connect, totalMs: askMs });
}

/**
 * Why no replica can ever hold a batch of the plan, which is for the project `parent`; undefined if one can, or if it is not known: a data service that does not answer, or does not have
 * the data set yet, is no reason to refuse work, because its worker waits for it.
 * @throws the signal's reason
 */
export async function neverFits(data: DataClient, parent: string, plan: Plan, signal: AbortSignal): Promise<NeverFits | undefined> {
  try {
    await data.describe(plan.dataset?.manifest ?? '', signal, plan, parent);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof NeverFits) return error;
  }
  return undefined;
}

/** @throws InvalidArgument for `spec.batch_size` if no replica can ever hold a batch of the plan; the signal's reason */
export async function checkBatchFits(data: DataClient, parent: string, plan: Plan, signal: AbortSignal): Promise<void> {
  const refusal = await neverFits(data, parent, plan, signal);
  if (refusal === undefined) return;
  const { needed, limit } = refusal;
  throw invalid('spec.batch_size', plan.batchSize, `smaller, because a batch needs ${needed}, and its limit is ${limit}`);
}
