/** Valid requests of every RPC, from which hostile ones are made. */
import { DescribeDatasetRequest, GetBatchRequest, Plan, PreviewBatchRequest } from '#protocol/dropstream/v1/data.js';
import {
  CancelEvaluationRequest,
  CreateEvaluationRequest,
  DeleteEvaluationRequest,
  GetEvaluationRequest,
  ListEvaluationsRequest,
  WatchEvaluationRequest,
} from '#protocol/dropstream/v1/evaluator.js';
import {
  AnswerOrderRequest,
  GetKeyRequest,
  JoinGroupRequest,
  LeafResult,
  LeaveGroupRequest,
  PutKeyRequest,
} from '#protocol/dropstream/v1/group.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import {
  CreateScheduleRequest,
  DeleteScheduleRequest,
  GetRatesRequest,
  GetScheduleRequest,
  ListSchedulesRequest,
  PreviewScheduleRequest,
  UpdateScheduleRequest,
  WatchScheduleRequest,
} from '#protocol/dropstream/v1/scheduler.js';
import {
  CancelRunRequest,
  CreateRunRequest,
  DeleteRunRequest,
  GetCheckpointRequest,
  GetRunRequest,
  GetRunSeriesRequest,
  ListCheckpointsRequest,
  ListRunsRequest,
  PauseRunRequest,
  ResumeRunRequest,
  WatchRunRequest,
} from '#protocol/dropstream/v1/trainer.js';
import { GetMetricsRequest, ScaledObjectRef } from '#protocol/externalscaler/externalscaler.js';
import type { Target } from './target.js';

/** Bytes of valid requests, by method. Health and reflection have messages of one or a few fields. */
export function seedsOf({ trainManifest, evalManifest, checkpoint }: Target): Readonly<Record<string, readonly Uint8Array[]>> {
  const parent = 'projects/p';
  const drop = { kind: DropKind.DROP_PATH, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 1 };
  const length = { epochs: 3, stepsPerEpoch: 4, depth: 3 };
  const plan = Plan.fromPartial({
    dataset: { manifest: trainManifest },
    seed: 1n,
    batchSize: 4,
    transform: { inputSize: 28, training: true, aa: 'rand-m9-mstd0.5-inc1', reprob: 0.25, colorJitter: 0.4 },
    mix: { mixup: 0.8, cutmix: 1, cutmixMinmax: [0.2, 0.8], smoothing: 0.1 },
  });
  const evaluated = Plan.fromPartial({ dataset: { manifest: evalManifest }, batchSize: 4, transform: { inputSize: 28, cropPct: 0.9 } });
  const spec = RunSpec.fromPartial({ model: 'vit_nano_p7', trainManifest, epochs: 2, batchSize: 16, lr: 1e-3, warmupEpochs: 1 });
  const wordy = RunSpec.fromPartial({
    ...spec,
    evalManifest,
    ...{ finetune: checkpoint, schedule: `${parent}/schedules/kept`, scheduleRevision: 1n, aa: 'rand-m9-mstd0.5-inc1' },
    ...{ optBetas: [0.9, 0.99], cutmixMinmax: [0.1, 0.9], seed: 7n, weightDecay: 0.05, clipGrad: 1, modelEma: true, modelEmaDecay: 0.9 },
  });
  const scored = { checkpoint, manifest: evalManifest, batchSize: 4, ema: false, cropPct: 0.9 };
  const run = { name: `${parent}/runs/kept` };
  const uid = '00000000-0000-4000-8000-000000000000';
  const victim = { name: `${parent}/runs/victim` };
  const schedule = { name: `${parent}/schedules/kept` };
  const evaluation = { name: `${parent}/evaluations/kept` };
  const refs = ['trainer-worker', 'data', 'evaluator-worker'].map((part) => ({
    ...{ name: 'workers', namespace: 'training' },
    scalerMetadata: { part, targetPerReplica: '2', maxReplicas: '10' },
  }));
  const scaled = refs.map((ref) => ScaledObjectRef.encode(ref).finish());
  const health = [new Uint8Array(), text(1, 'dropstream.v1.TrainerService')];
  const reflection = [
    text(7, ''),
    text(3, 'dropstream/v1/data.proto'),
    text(4, 'dropstream.v1.DataService'),
    text(6, 'dropstream.v1.Plan'),
  ];
  return {
    'dropstream.v1.DataService/DescribeDataset': [
      DescribeDatasetRequest.encode(DescribeDatasetRequest.fromPartial({ dataset: { manifest: trainManifest }, plan })).finish(),
    ],
    'dropstream.v1.DataService/GetBatch': [plan, evaluated].map((plan) =>
      GetBatchRequest.encode(GetBatchRequest.fromPartial({ parent, plan, client: 'c' })).finish(),
    ),
    'dropstream.v1.DataService/PreviewBatch': [plan, evaluated].map((plan) =>
      PreviewBatchRequest.encode(PreviewBatchRequest.fromPartial({ parent, plan, limit: 2 })).finish(),
    ),
    'dropstream.v1.SchedulerService/CreateSchedule': [
      CreateScheduleRequest.encode(CreateScheduleRequest.fromPartial({ parent, scheduleId: 'made', spec: drop, requestId: 'r1' })).finish(),
    ],
    'dropstream.v1.SchedulerService/GetSchedule': [
      GetScheduleRequest.encode({ ...schedule, revision: 0n }).finish(),
      GetScheduleRequest.encode({ ...schedule, revision: 2n }).finish(),
    ],
    'dropstream.v1.SchedulerService/ListSchedules': [ListSchedulesRequest.encode({ parent, pageSize: 10, pageToken: '' }).finish()],
    'dropstream.v1.SchedulerService/UpdateSchedule': [
      UpdateScheduleRequest.encode(
        UpdateScheduleRequest.fromPartial({ name: `${parent}/schedules/victim`, spec: drop, updateMask: ['rate', 'mode'] }),
      ).finish(),
    ],
    'dropstream.v1.SchedulerService/DeleteSchedule': [
      DeleteScheduleRequest.encode({ name: `${parent}/schedules/victim`, etag: '' }).finish(),
    ],
    'dropstream.v1.SchedulerService/PreviewSchedule': [
      PreviewScheduleRequest.encode(PreviewScheduleRequest.fromPartial({ spec: drop, length, samples: 20 })).finish(),
    ],
    'dropstream.v1.SchedulerService/GetRates': [
      GetRatesRequest.encode(
        GetRatesRequest.fromPartial({ source: { $case: 'schedule', value: schedule.name }, length, steps: [0n, 5n] }),
      ).finish(),
      GetRatesRequest.encode(GetRatesRequest.fromPartial({ source: { $case: 'spec', value: drop }, length, steps: [1n] })).finish(),
    ],
    'dropstream.v1.SchedulerService/WatchSchedule': [WatchScheduleRequest.encode({ ...schedule, afterRevision: 0n, uid: '' }).finish()],
    'dropstream.v1.TrainerService/CreateRun': [spec, wordy].flatMap((spec) =>
      [true, false].map((validateOnly) =>
        CreateRunRequest.encode(
          CreateRunRequest.fromPartial({ parent, runId: 'made', spec, requestId: 'r1', validateOnly, labels: { team: 'a', kind: 'b' } }),
        ).finish(),
      ),
    ),
    'dropstream.v1.TrainerService/GetRun': [GetRunRequest.encode(run).finish()],
    'dropstream.v1.TrainerService/GetRunSeries': [
      GetRunSeriesRequest.encode(
        GetRunSeriesRequest.fromPartial({ ...run, metrics: [1, 5], fromStep: 1n, toStep: 9n, points: 10 }),
      ).finish(),
    ],
    'dropstream.v1.TrainerService/ListRuns': [
      ListRunsRequest.encode({
        ...{
          parent,
          pageSize: 10,
          pageToken: '',
          filter: 'state = QUEUED AND labels.team != "a" OR model = x',
          orderBy: 'create_time desc',
        },
      }).finish(),
    ],
    'dropstream.v1.TrainerService/DeleteRun': [DeleteRunRequest.encode({ ...victim, etag: '' }).finish()],
    'dropstream.v1.TrainerService/WatchRun': [
      WatchRunRequest.encode({ ...run, afterSequence: 0n, uid: '' }).finish(),
      WatchRunRequest.encode({ name: `${parent}/runs/done`, afterSequence: 1n, uid: '' }).finish(),
    ],
    'dropstream.v1.TrainerService/PauseRun': [PauseRunRequest.encode(run).finish()],
    'dropstream.v1.TrainerService/ResumeRun': [ResumeRunRequest.encode(run).finish()],
    'dropstream.v1.TrainerService/CancelRun': [CancelRunRequest.encode(victim).finish()],
    'dropstream.v1.TrainerService/ListCheckpoints': [
      ListCheckpointsRequest.encode({ parent: `${parent}/runs/done`, pageSize: 10, pageToken: '' }).finish(),
    ],
    'dropstream.v1.TrainerService/GetCheckpoint': ['latest', 'best', checkpoint.split('/').at(-1)!].map((id) =>
      GetCheckpointRequest.encode({ name: `${parent}/runs/done/checkpoints/${id}`, urlExpirySeconds: 60 }).finish(),
    ),
    'dropstream.v1.EvaluatorService/CreateEvaluation': [
      CreateEvaluationRequest.encode(
        CreateEvaluationRequest.fromPartial({ parent, evaluationId: 'made', spec: scored, requestId: 'r1' }),
      ).finish(),
    ],
    'dropstream.v1.EvaluatorService/GetEvaluation': [GetEvaluationRequest.encode(evaluation).finish()],
    'dropstream.v1.EvaluatorService/ListEvaluations': [
      ListEvaluationsRequest.encode({ parent, pageSize: 10, pageToken: '', omitClassCounts: true }).finish(),
    ],
    'dropstream.v1.EvaluatorService/CancelEvaluation': [CancelEvaluationRequest.encode({ name: `${parent}/evaluations/victim` }).finish()],
    'dropstream.v1.EvaluatorService/DeleteEvaluation': [
      DeleteEvaluationRequest.encode({ name: `${parent}/evaluations/victim`, etag: '' }).finish(),
    ],
    'dropstream.v1.EvaluatorService/WatchEvaluation': [WatchEvaluationRequest.encode(evaluation).finish()],
    'dropstream.v1.GroupService/JoinGroup': [
      JoinGroupRequest.encode({
        run: run.name,
        runUid: uid,
        fence: 2n,
        worker: 'w',
        fingerprint: 'native/fp32/portable/0',
        step: 3n,
      }).finish(),
    ],
    'dropstream.v1.GroupService/AnswerOrder': [
      {
        $case: 'compute' as const,
        value: { results: [LeafResult.fromPartial({ leaf: 1, losses: [0.5], batchSha256: [Buffer.alloc(32)] })] },
      },
      { $case: 'stand' as const, value: { step: 3n, leaves: [1, 2], gradNorm: 0.5 } },
      { $case: 'failure' as const, value: { reason: 'r', peer: 1, betweenMembers: true } },
    ].map((answer) => AnswerOrderRequest.encode({ run: run.name, member: uid, order: 1n, answer }).finish()),
    'dropstream.v1.GroupService/LeaveGroup': [LeaveGroupRequest.encode({ run: run.name, member: uid, ifSpared: true }).finish()],
    'dropstream.v1.GroupService/PutKey': [
      PutKeyRequest.encode({ run: run.name, member: uid, generation: 1n, key: 'k', value: Buffer.of(1) }).finish(),
    ],
    'dropstream.v1.GroupService/GetKey': [GetKeyRequest.encode({ run: run.name, member: uid, generation: 1n, key: 'k' }).finish()],
    'externalscaler.ExternalScaler/IsActive': scaled,
    'externalscaler.ExternalScaler/StreamIsActive': scaled,
    'externalscaler.ExternalScaler/GetMetricSpec': scaled,
    'externalscaler.ExternalScaler/GetMetrics': refs.map((scaledObjectRef) =>
      GetMetricsRequest.encode({ scaledObjectRef, metricName: '' }).finish(),
    ),
    'externalscaler.ExternalScaler/StreamMetricSpec': scaled,
    'grpc.health.v1.Health/Check': health,
    'grpc.health.v1.Health/List': [new Uint8Array()],
    'grpc.health.v1.Health/Watch': health,
    'grpc.reflection.v1.ServerReflection/ServerReflectionInfo': reflection,
    'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': reflection,
  };
}

/** A message whose field of that number is the text. */
const text = (number: number, value: string): Uint8Array =>
  Buffer.concat([Uint8Array.of((number << 3) | 2, value.length), Buffer.from(value)]);

/** Words that mean something in one field or another; the largest models among them. */
const words = ['made', 'vit_nano_p7', 'vit_large', 'swin_small', 'convnext_xlarge', 'rate', 'team', 'create_time', 'labels.team'];

/** Names and tokens that requests are given in places where they do and do not belong. */
export function namesOf({ checkpoint, opaque, trainManifest, evalManifest }: Target): string[] {
  const own = ['p', 'q'].flatMap((project) => [
    `projects/${project}`,
    ...['runs', 'schedules', 'evaluations'].flatMap((kind) => [`projects/${project}/${kind}/victim`, `projects/${project}/${kind}/none`]),
    `projects/${project}/schedules/kept/revisions/1`,
    `projects/${project}/datasets/d`,
  ]);
  return [...own, checkpoint, trainManifest, evalManifest, ...opaque, ...words];
}
