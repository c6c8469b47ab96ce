/** Metrics of the trainer. Histograms have no label for runs; the gauges of a run are removed when it ends. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Gpu } from '#engine/index.js';
import type { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { removeSeries } from '#telemetry/run-series.js';

const runLabels = ['project', 'run'] as const;
type RunLabels = Record<(typeof runLabels)[number], string>;
/** How attempts end. All series start at 0, so that increases include the first attempt. */
const outcomes = ['trained', 'paused', 'stopped', 'lost', 'failed', 'retried', 'unknown'] as const;
const secondsBuckets = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300];

export type TrainerMetrics = ReturnType<typeof createTrainerMetrics>;

export function createTrainerMetrics(registry: Registry) {
  const registers = [registry];
  const histogram = (name: string, help: string) =>
    new Histogram({ name: `dropstream_trainer_${name}_seconds`, help, buckets: secondsBuckets, registers });
  const runGauge = (name: string, help: string) => new Gauge({ name: `dropstream_run_${name}`, help, labelNames: runLabels, registers });
  const attempts = new Counter({
    name: 'dropstream_trainer_attempts_total',
    help: 'Number of attempts at runs that have ended, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of outcomes) attempts.inc({ outcome }, 0);
  const evaluations = new Counter({
    name: 'dropstream_trainer_evaluations_total',
    help: 'Number of evaluations of checkpoints that have ended, by outcome: succeeded, or failed for any reason.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['succeeded', 'failed']) evaluations.inc({ outcome }, 0);
  const step = histogram('step', 'Seconds of an optimizer step, including waiting for data.');
  const dataWait = histogram('data_wait', 'Seconds that an optimizer step waited for batches.');
  const gpuStep = histogram(
    'gpu_step',
    'Seconds that an optimizer step took on the GPU, from its first command to its last result. Steps on the CPU do not count.',
  );
  const gpuBytes = runGauge('gpu_bytes', 'Bytes that the engine has allocated on the GPU. Runs on the CPU have no series.');
  const gpuInfo = new Gauge({
    name: 'dropstream_trainer_gpu_info',
    help: 'Always 1; the labels name the GPU of the latest run that this process has trained on one, its driver, and the library that drives it.',
    labelNames: ['adapter', 'driver', 'runtime'],
    registers,
  });
  const trained = new Counter({ name: 'dropstream_trainer_images_total', help: 'Number of images trained on.', registers });
  const loss = runGauge('loss', 'Mean training loss of the latest step.');
  const lr = runGauge('learning_rate', 'Learning rate of the latest step.');
  const dropRate = runGauge('drop_rate', 'Drop rate of the latest step.');
  const weightDecay = runGauge('weight_decay', 'Weight decay of the latest step.');
  const gradNorm = runGauge('gradient_norm', 'Global L2 norm of the gradient of the latest step, before clipping.');
  const skipped = new Counter({
    name: 'dropstream_trainer_skipped_steps_total',
    help: 'Number of optimizer steps that were skipped, because their gradient overflowed with precision f16.',
    registers,
  });
  const runStep = runGauge('step', 'Number of optimizer steps done.');
  const lastStep = runGauge(
    'last_step_timestamp_seconds',
    'Unix time in seconds of the latest step; before the first one, of the beginning of the attempt.',
  );
  const lastCheckpoint = runGauge(
    'last_checkpoint_timestamp_seconds',
    'Unix time in seconds of the latest committed checkpoint; before the first one, of the beginning of the attempt.',
  );
  const checkpointInterval = runGauge(
    'checkpoint_interval_seconds',
    'Seconds after which a run makes another checkpoint (save_ckpt_seconds). Runs that make them only at the ends of epochs have no series.',
  );
  /** The newest attempt in this process, by project and run. */
  const owners = new Map<string, symbol>();
  const checkpoint = histogram('checkpoint', 'Seconds from the snapshot of a checkpoint to its commit.');
  return {
    checkpointStall: histogram('checkpoint_stall', 'Seconds for which a checkpoint interrupted training.'),
    evaluation: histogram('evaluation', 'Seconds from the commit of a checkpoint to the end of its evaluation.'),
    attempts,
    evaluations,
    leftToOthers: new Counter({
      name: 'dropstream_trainer_exact_runs_left_total',
      help: 'Number of exact runs that this worker did not claim because its numerics differ from the checkpoint; counted once per checkpoint.',
      registers,
    }),
    leftWithoutEngine: new Counter({
      name: 'dropstream_trainer_runs_without_engine_total',
      help: 'Number of runs that this worker did not claim because their engine does not work here; counted once per reason.',
      registers,
    }),
    queueDepth: new Gauge({ name: 'dropstream_trainer_queue_depth', help: 'Number of runs that wait for a worker.', registers }),
    runsActive: new Gauge({ name: 'dropstream_trainer_runs_active', help: 'Number of runs that this process trains.', registers }),
    engineBytes: runGauge(
      'engine_bytes',
      'Bytes that the engine has allocated for the values of a chunk, parameters, gradients and optimizer state.',
    ),
    top1: runGauge('top1_ratio', 'Top-1 accuracy of the latest evaluation, 0 to 1.'),
    /** A run is about to be trained on this GPU. */
    useGpu(gpu: Gpu): void {
      gpuInfo.reset();
      gpuInfo.set({ ...gpu }, 1);
    },
    /** An attempt at a run begins, whose spec asks for a checkpoint every `checkpointSeconds`, or for none by time. */
    begin({ project, run }: RunLabels, checkpointSeconds: number | undefined): void {
      const labels = { project, run };
      lastStep.set(labels, Date.now() / 1000);
      lastCheckpoint.set(labels, Date.now() / 1000);
      if (checkpointSeconds !== undefined) checkpointInterval.set(labels, checkpointSeconds);
    },
    /** A checkpoint is committed, `seconds` after its snapshot. */
    observeCheckpoint(labels: RunLabels, seconds: number): void {
      checkpoint.observe(seconds);
      lastCheckpoint.set(labels, Date.now() / 1000);
    },
    /** Records a step in all metrics about steps. `gpu`: of a step that ran on one. */
    observeStep(labels: RunLabels, metrics: StepMetrics, images: number, gpu?: { seconds: number; bytes: number }): void {
      if (gpu) {
        gpuStep.observe(gpu.seconds);
        gpuBytes.set(labels, gpu.bytes);
      }
      step.observe(metrics.stepSeconds);
      dataWait.observe(metrics.dataWaitSeconds);
      trained.inc(images);
      if (metrics.skipped) skipped.inc();
      loss.set(labels, metrics.loss);
      lr.set(labels, metrics.lr);
      dropRate.set(labels, metrics.dropRate);
      weightDecay.set(labels, metrics.weightDecay);
      gradNorm.set(labels, metrics.gradNorm);
      runStep.set(labels, Number(metrics.step) + 1);
      lastStep.set(labels, Date.now() / 1000);
    },
    /**
     * Gives the series of a run's name to an attempt. The returned function removes them, unless a later attempt has them by then: the name may
     * belong to another run, or this process may have claimed the run again.
     */
    enter(project: string, run: string): () => Promise<void> {
      const key = `${project}/${run}`;
      const attempt = Symbol(key);
      owners.set(key, attempt);
      return async () => {
        if (owners.get(key) !== attempt) return;
        owners.delete(key);
        await removeSeries(registry, { project, run });
      };
    },
  };
}
