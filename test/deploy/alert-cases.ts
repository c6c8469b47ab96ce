/**
 * For each alert: series that make it fire and then clear. Values are in promtool's notation with one sample a minute: `1x5 0x9` are six ones and ten
 * zeros, `0+2x9` are 0, 2, 4 … 18.
 */
export interface AlertCase {
  readonly alert: string;
  readonly series: Readonly<Record<string, string>>;
  /** Minutes at which it does not fire yet, fires, and does not fire any more. */
  readonly quiet: number;
  readonly fires: number;
  readonly clears: number;
  /** Besides `severity`. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly severity: 'page' | 'ticket';
  readonly summary: string;
}

const instance = 'trainer-0:8013';
const run = { project: 'default', run: 'r' };
const ofRun = '{project="default", run="r"}';
const trainer = { grpc_service: 'dropstream.v1.TrainerService' };
const calls = (code: string, type = 'unary') =>
  `grpc_server_handled_total{grpc_type="${type}", grpc_service="dropstream.v1.TrainerService", grpc_method="GetRun", grpc_code="${code}"}`;
const asked = (method: string) => `grpc_server_started_total{grpc_service="externalscaler.ExternalScaler", grpc_method="${method}"}`;
/** Health checks fail while a service drains; they are no calls of users. */
const healthChecks = {
  'grpc_server_handled_total{grpc_type="unary", grpc_service="grpc.health.v1.Health", grpc_method="Check", grpc_code="UNAVAILABLE"}':
    '0+100x800',
};

export const alertCases: readonly AlertCase[] = [
  {
    alert: 'DropstreamServiceDown',
    series: { [`up{job="dropstream", instance="${instance}"}`]: '1x5 0x10 1x10', 'up{job="other", instance="x"}': '0x40' },
    quiet: 6,
    fires: 10,
    clears: 20,
    labels: { job: 'dropstream', instance },
    severity: 'page',
    summary: `${instance} does not answer /metrics`,
  },
  {
    alert: 'DropstreamEventLoopLate',
    series: { [`nodejs_eventloop_lag_p99_seconds{job="dropstream", instance="${instance}"}`]: '0.7x20 0.01x20' },
    quiet: 8,
    fires: 15,
    clears: 25,
    labels: { job: 'dropstream', instance },
    severity: 'ticket',
    summary: `The event loop of ${instance} is late by more than half a second`,
  },
  {
    alert: 'DropstreamCertificateExpires',
    series: { [`dropstream_tls_expiry_timestamp_seconds{instance="${instance}", use="server"}`]: '500000x20 2000000x20' },
    quiet: 5,
    fires: 15,
    clears: 25,
    labels: { instance, use: 'server' },
    severity: 'ticket',
    summary: `A certificate of ${instance} (server) expires within a week`,
  },
  {
    alert: 'DropstreamTlsFilesUnusable',
    series: { [`dropstream_tls_files_unusable{instance="${instance}"}`]: '0x5 1x14 0x20' },
    quiet: 8,
    fires: 15,
    clears: 25,
    labels: { instance },
    severity: 'ticket',
    summary: `${instance} cannot use its files of certificates and keeps the last good ones`,
  },
  {
    alert: 'DropstreamAuditFails',
    series: { [`dropstream_audit_failing{instance="${instance}"}`]: '0x5 1x14 0x20' },
    quiet: 8,
    fires: 15,
    clears: 25,
    labels: { instance },
    severity: 'page',
    summary: `${instance} cannot write its audit; lines are lost when 4 MiB wait`,
  },
  {
    alert: 'DropstreamStoreAway',
    series: { [`dropstream_store_away{instance="${instance}"}`]: '0x5 1x14 0x20' },
    quiet: 7,
    fires: 10,
    clears: 22,
    labels: { instance },
    severity: 'page',
    summary: `The object store does not answer ${instance}`,
  },
  {
    alert: 'DropstreamStoreFull',
    series: { 'dropstream_store_operation_seconds_count{operation="put", outcome="full"}': '0x5 3x40' },
    quiet: 5,
    fires: 8,
    clears: 20,
    severity: 'page',
    summary: 'The object store has no room: runs wait before their next checkpoint',
  },
  {
    alert: 'DropstreamRunStuck',
    series: { [`dropstream_run_last_step_timestamp_seconds${ofRun}`]: '0x60 3600+60x30' },
    quiet: 33,
    fires: 40,
    clears: 65,
    labels: run,
    severity: 'page',
    summary: 'Run default/r has made no step for half an hour',
  },
  {
    alert: 'DropstreamCheckpointOld',
    series: {
      [`dropstream_run_last_checkpoint_timestamp_seconds${ofRun}`]: '0x60 3660x40',
      [`dropstream_run_checkpoint_interval_seconds${ofRun}`]: '300x100',
      [`dropstream_run_last_step_timestamp_seconds${ofRun}`]: '0+60x100',
      // It has saved its last step, and waits for its evaluations.
      'dropstream_run_last_checkpoint_timestamp_seconds{project="default", run="trained"}': '60x100',
      'dropstream_run_checkpoint_interval_seconds{project="default", run="trained"}': '300x100',
      'dropstream_run_last_step_timestamp_seconds{project="default", run="trained"}': '30x100',
    },
    quiet: 28,
    fires: 40,
    clears: 65,
    labels: run,
    severity: 'ticket',
    summary: 'Run default/r trains, and its newest checkpoint is 40m 0s old',
  },
  {
    alert: 'DropstreamRunsWaitForWorkers',
    series: { dropstream_trainer_queue_depth: '0x2 1x20 0x20', dropstream_trainer_runs_active: '0x60' },
    quiet: 10,
    fires: 15,
    clears: 30,
    severity: 'page',
    summary: 'Runs are queued and no worker trains',
  },
  {
    alert: 'DropstreamAttemptsFail',
    series: {
      'dropstream_trainer_attempts_total{outcome="failed"}': '0x10 4x200',
      'dropstream_trainer_attempts_total{outcome="trained"}': '0+9x200',
    },
    quiet: 10,
    fires: 15,
    clears: 90,
    severity: 'ticket',
    summary: 'More than two attempts at runs have failed within an hour',
  },
  {
    alert: 'DropstreamWorkersDiverge',
    series: { dropstream_trainer_group_members_diverged_total: '0x10 1x200' },
    quiet: 10,
    fires: 15,
    clears: 90,
    severity: 'page',
    summary: 'A worker has other weights or gradients than the others of its run',
  },
  {
    alert: 'DropstreamGroupsThrash',
    series: { [`dropstream_trainer_group_generations_total{instance="${instance}"}`]: '0+1x20 24+4x20 104x40' },
    quiet: 19,
    fires: 35,
    clears: 60,
    labels: { instance },
    severity: 'ticket',
    summary: `The workers of runs that ${instance} leads connect anew 4 times a minute`,
  },
  {
    alert: 'DropstreamEvaluationsFail',
    series: {
      'dropstream_evaluator_attempts_total{outcome="retried"}': '0x10 4x200',
      'dropstream_evaluator_attempts_total{outcome="succeeded"}': '0+9x200',
    },
    quiet: 10,
    fires: 15,
    clears: 90,
    severity: 'ticket',
    summary: 'More than two attempts at evaluations have failed within an hour',
  },
  {
    alert: 'DropstreamTrainingWaitsForData',
    series: { dropstream_trainer_data_wait_seconds_sum: '0+12x60 720x60', dropstream_trainer_step_seconds_sum: '0+60x200' },
    quiet: 10,
    fires: 30,
    clears: 80,
    severity: 'ticket',
    summary: 'Training spends 20% of its time waiting for batches',
  },
  {
    alert: 'DropstreamDataCallsRefused',
    series: { 'dropstream_data_refused_total{bound="calls that wait"}': '0+1x30 30x60' },
    quiet: 8,
    fires: 20,
    clears: 45,
    labels: { bound: 'calls that wait' },
    severity: 'ticket',
    summary: 'The data service refuses calls (calls that wait)',
  },
  {
    alert: 'DropstreamImagesUndecodable',
    series: { dropstream_data_undecodable_images_total: '0+1x30 30x200', dropstream_data_images_total: '0+100x250' },
    quiet: 4,
    fires: 20,
    clears: 110,
    severity: 'ticket',
    summary: '1% of the images cannot be decoded and are replaced by others',
  },
  {
    alert: 'DropstreamSamplesDamaged',
    series: { dropstream_data_damaged_samples_total: '0x10 1x200' },
    quiet: 10,
    fires: 15,
    clears: 90,
    severity: 'ticket',
    summary: 'Images are gone or differ from their manifest',
  },
  {
    alert: 'DropstreamErrorBudgetBurnsFast',
    series: { [calls('OK')]: '0+98x400', [calls('INTERNAL')]: '0+2x60 120x400', ...healthChecks },
    quiet: 1,
    fires: 30,
    clears: 75,
    labels: trainer,
    severity: 'page',
    summary: "2% of the calls to dropstream.v1.TrainerService fail: a month's error budget is gone in two days",
  },
  {
    alert: 'DropstreamErrorBudgetBurns',
    series: { [calls('OK')]: '0+99x800', [calls('DEADLINE_EXCEEDED')]: '0+1x120 120x800', ...healthChecks },
    quiet: 3,
    fires: 60,
    clears: 170,
    labels: trainer,
    severity: 'page',
    summary: "1% of the calls to dropstream.v1.TrainerService fail: a month's error budget is gone in five days",
  },
  {
    alert: 'DropstreamErrorBudgetBurnsSlowly',
    series: {
      [calls('OK')]: '0+998x800',
      [calls('UNAVAILABLE')]: '0+2x120 240x800',
      // Watches end by their deadlines.
      [calls('DEADLINE_EXCEEDED', 'server_stream')]: '0+100x800',
      ...healthChecks,
    },
    quiet: 10,
    fires: 60,
    clears: 560,
    labels: trainer,
    severity: 'ticket',
    summary: '0.1818% of the calls to dropstream.v1.TrainerService have failed for days: the error budget does not last',
  },
  {
    alert: 'DropstreamScalerFails',
    series: {
      'dropstream_scaler_errors_total{part="trainer-worker"}': '0x5 1+1x20 21x40',
      'dropstream_scaler_errors_total{part="data"}': '0x80',
    },
    quiet: 9,
    fires: 20,
    clears: 45,
    labels: { part: 'trainer-worker' },
    severity: 'page',
    summary: 'The scaler does not find out how much of trainer-worker is wanted',
  },
  {
    alert: 'DropstreamScalerNotAsked',
    series: { [asked('GetMetrics')]: '0+12x60 720x60 732+12x60', [asked('StreamIsActive')]: '0x200' },
    quiet: 75,
    fires: 90,
    clears: 130,
    severity: 'page',
    summary: 'KEDA has stopped asking how many workers are wanted',
  },
];
