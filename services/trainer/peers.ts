/** The other services that the trainer calls. */
import type { EvaluatorServiceService } from '#protocol/dropstream/v1/evaluator.js';
import type { SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';
import type { TypedClient } from '#rpc/client.js';

export type EvaluatorClient = TypedClient<typeof EvaluatorServiceService>;
export type SchedulerClient = TypedClient<typeof SchedulerServiceService>;
