/** The trainer's own series. Histograms carry no run; gauges of a run go when it ends. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { removeSeries } from '#telemetry/run-series.js';

const runLabels = ['project', 'run'] as const;
type RunLabels = Record<(typeof runLabels)[number], string>;
/** How attempts end; every series begins at 0, so that increases count from the first one. */
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
    help: 'Attempts at runs that ended, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of outcomes) attempts.inc({ outcome }, 0);
  const step = histogram('step', 'Seconds of an optimizer step, waiting for data included.');
  const dataWait = histogram('data_wait', 'Seconds of an optimizer step that were spent waiting for batches.');
  const trained = new Counter({ name: 'dropstream_trainer_images_total', help: 'Images trained on.', registers });
  const loss = runGauge('loss', 'Mean training loss of the newest step.');
  const lr = runGauge('learning_rate', 'Learning rate of the newest step.');
  const dropRate = runGauge('drop_rate', 'Drop rate of the newest step.');
  const weightDecay = runGauge('weight_decay', 'Weight decay of the newest step.');
  const gradNorm = runGauge('gradient_norm', 'Global L2 norm of the newest gradient before clipping.');
  const runStep = runGauge('step', 'Optimizer steps done.');
  const lastStep = runGauge('last_step_timestamp_seconds', 'Unix time of the newest step.');
  return {
    checkpoint: histogram('checkpoint', 'Seconds from the snapshot of a checkpoint to its commit.'),
    checkpointStall: histogram('checkpoint_stall', 'Seconds that training stood still for a checkpoint.'),
    evaluation: histogram('evaluation', 'Seconds from the commit of a checkpoint to its evaluation.'),
    attempts,
    leftToOthers: new Counter({
      name: 'dropstream_trainer_exact_runs_left_total',
      help: 'Exact runs that this worker left to others because its numerics differ, counted once for each newest checkpoint.',
      registers,
    }),
    queueDepth: new Gauge({ name: 'dropstream_trainer_queue_depth', help: 'Runs that wait for a worker.', registers }),
    runsActive: new Gauge({ name: 'dropstream_trainer_runs_active', help: 'Runs that this process trains.', registers }),
    engineBytes: runGauge('engine_bytes', 'Bytes that the engine holds: values of a chunk, parameters, gradients, optimizer state.'),
    top1: runGauge('top1_ratio', 'Top-1 accuracy of the newest evaluation, 0 to 1.'),
    /** Takes a trained step into all series that are about steps. */
    observeStep(labels: RunLabels, metrics: StepMetrics, images: number): void {
      step.observe(metrics.stepSeconds);
      dataWait.observe(metrics.dataWaitSeconds);
      trained.inc(images);
      loss.set(labels, metrics.loss);
      lr.set(labels, metrics.lr);
      dropRate.set(labels, metrics.dropRate);
      weightDecay.set(labels, metrics.weightDecay);
      gradNorm.set(labels, metrics.gradNorm);
      runStep.set(labels, Number(metrics.step) + 1);
      lastStep.set(labels, Date.now() / 1000);
    },
    /** Ends the series of a run. */
    async forget(project: string, run: string): Promise<void> {
      await removeSeries(registry, { project, run });
    },
  };
}
