/** The RPCs that the console calls, with the types of their messages. */
import type {
  DescribeDatasetRequest,
  DescribeDatasetResponse,
  PreviewBatchRequest,
  PreviewBatchResponse,
} from '#protocol/dropstream/v1/data.js';
import type {
  CreateEvaluationRequest,
  CreateEvaluationResponse,
  ListEvaluationsRequest,
  ListEvaluationsResponse,
} from '#protocol/dropstream/v1/evaluator.js';
import type {
  CreateScheduleRequest,
  CreateScheduleResponse,
  DeleteScheduleRequest,
  DeleteScheduleResponse,
  GetScheduleRequest,
  GetScheduleResponse,
  ListSchedulesRequest,
  ListSchedulesResponse,
  UpdateScheduleRequest,
  UpdateScheduleResponse,
} from '#protocol/dropstream/v1/scheduler.js';
import type {
  CancelRunRequest,
  CancelRunResponse,
  CreateRunRequest,
  CreateRunResponse,
  DeleteRunRequest,
  DeleteRunResponse,
  GetCheckpointRequest,
  GetCheckpointResponse,
  GetRunRequest,
  GetRunResponse,
  GetRunSeriesRequest,
  GetRunSeriesResponse,
  ListCheckpointsRequest,
  ListCheckpointsResponse,
  ListRunsRequest,
  ListRunsResponse,
  PauseRunRequest,
  PauseRunResponse,
  ResumeRunRequest,
  ResumeRunResponse,
  WatchRunRequest,
  WatchRunResponse,
} from '#protocol/dropstream/v1/trainer.js';
import type { GetMetricsRequest, GetMetricsResponse } from '#protocol/externalscaler/externalscaler.js';
import type { HealthCheckRequest, HealthCheckResponse } from '#protocol/grpc/health/v1/health.js';
import type { Json } from './json.js';

interface UnaryMethods {
  'TrainerService/ListRuns': [ListRunsRequest, ListRunsResponse];
  'TrainerService/GetRun': [GetRunRequest, GetRunResponse];
  'TrainerService/GetRunSeries': [GetRunSeriesRequest, GetRunSeriesResponse];
  'TrainerService/CreateRun': [CreateRunRequest, CreateRunResponse];
  'TrainerService/DeleteRun': [DeleteRunRequest, DeleteRunResponse];
  'TrainerService/PauseRun': [PauseRunRequest, PauseRunResponse];
  'TrainerService/ResumeRun': [ResumeRunRequest, ResumeRunResponse];
  'TrainerService/CancelRun': [CancelRunRequest, CancelRunResponse];
  'TrainerService/ListCheckpoints': [ListCheckpointsRequest, ListCheckpointsResponse];
  'TrainerService/GetCheckpoint': [GetCheckpointRequest, GetCheckpointResponse];
  'SchedulerService/ListSchedules': [ListSchedulesRequest, ListSchedulesResponse];
  'SchedulerService/GetSchedule': [GetScheduleRequest, GetScheduleResponse];
  'SchedulerService/CreateSchedule': [CreateScheduleRequest, CreateScheduleResponse];
  'SchedulerService/UpdateSchedule': [UpdateScheduleRequest, UpdateScheduleResponse];
  'SchedulerService/DeleteSchedule': [DeleteScheduleRequest, DeleteScheduleResponse];
  'EvaluatorService/ListEvaluations': [ListEvaluationsRequest, ListEvaluationsResponse];
  'EvaluatorService/CreateEvaluation': [CreateEvaluationRequest, CreateEvaluationResponse];
  'externalscaler.ExternalScaler/GetMetrics': [GetMetricsRequest, GetMetricsResponse];
  'grpc.health.v1.Health/Check': [HealthCheckRequest, HealthCheckResponse];
  'DataService/DescribeDataset': [DescribeDatasetRequest, DescribeDatasetResponse];
  'DataService/PreviewBatch': [PreviewBatchRequest, PreviewBatchResponse];
}
interface StreamMethods {
  'TrainerService/WatchRun': [WatchRunRequest, WatchRunResponse];
}

export type UnaryMethod = keyof UnaryMethods;
export type StreamMethod = keyof StreamMethods;
type Methods = UnaryMethods & StreamMethods;
export type RequestOf<M extends keyof Methods> = Json<Methods[M][0]>;
export type ResponseOf<M extends keyof Methods> = Json<Methods[M][1]>;
