/** The trainer's own series. Histograms carry no run; gauges of a run go when it ends. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { removeSeries } from '#telemetry/run-series.js';

const runLabels = ['project', 'run'] as const;
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
  return {
    step: histogram('step', 'Seconds of an optimizer step, waiting for data included.'),
    dataWait: histogram('data_wait', 'Seconds of an optimizer step that were spent waiting for batches.'),
    checkpoint: histogram('checkpoint', 'Seconds from the snapshot of a checkpoint to its commit.'),
    checkpointStall: histogram('checkpoint_stall', 'Seconds that training stood still for a checkpoint.'),
    evaluation: histogram('evaluation', 'Seconds from the commit of a checkpoint to its evaluation.'),
    images: new Counter({ name: 'dropstream_trainer_images_total', help: 'Images trained on.', registers }),
    attempts,
    queueDepth: new Gauge({ name: 'dropstream_trainer_queue_depth', help: 'Runs that wait for a worker.', registers }),
    runsActive: new Gauge({ name: 'dropstream_trainer_runs_active', help: 'Runs that this process trains.', registers }),
    loss: runGauge('loss', 'Mean training loss of the newest step.'),
    lr: runGauge('learning_rate', 'Learning rate of the newest step.'),
    dropRate: runGauge('drop_rate', 'Drop rate of the newest step.'),
    weightDecay: runGauge('weight_decay', 'Weight decay of the newest step.'),
    gradNorm: runGauge('gradient_norm', 'Global L2 norm of the newest gradient before clipping.'),
    runStep: runGauge('step', 'Optimizer steps done.'),
    engineBytes: runGauge('engine_bytes', 'Bytes that the engine holds: values of a chunk, parameters, gradients, optimizer state.'),
    top1: runGauge('top1_ratio', 'Top-1 accuracy of the newest evaluation, 0 to 1.'),
    lastStep: runGauge('last_step_timestamp_seconds', 'Unix time of the newest step.'),
    /** Ends the series of a run. */
    async forget(project: string, run: string): Promise<void> {
      await removeSeries(registry, { project, run });
    },
  };
}
