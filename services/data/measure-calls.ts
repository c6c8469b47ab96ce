/** What the metrics learn of a call: how long it waited for its turn, and the failures that operators should see. */
import { DataLoss } from '#errors/errors.js';
import { BoundReached } from './admission.js';
import { bounds, type DataMetrics } from './metrics.js';

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
    if (error instanceof BoundReached) metrics.refused.inc({ bound: bounds[error.bound] });
    if (error instanceof DataLoss) metrics.damaged.inc();
    throw error;
  }
}
