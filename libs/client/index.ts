/** The package's client, `dropstream/client`: all services through `Client`, or any one of them through `connect`. */
export * from '#rpc/client.js';
export {
  type BatchArrays,
  Batches,
  type BatchesState,
  type BatchFormat,
  type ClientBatch,
} from './batches.js';
export {
  type BatchesOptions,
  type CallLimits,
  Client,
  type ClientOptions,
  type EvaluateOptions,
  type RatesRequest,
  type SchedulerClient,
  type SubmitOptions,
  type WatchOptions,
} from './client.js';
export type { EvaluatorClient } from './evaluation-states.js';
export { EvaluationFailed, RunFailed } from './failures.js';
export type { TrainerClient } from './run-events.js';
