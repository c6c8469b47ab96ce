/** Metrics of the evaluator. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type EvaluatorMetrics = ReturnType<typeof createEvaluatorMetrics>;

export function createEvaluatorMetrics(registry: Registry) {
  const registers = [registry];
  const attempts = new Counter({
    name: 'dropstream_evaluator_attempts_total',
    help: 'Number of attempts at evaluations that have ended, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  // All series start at 0, so that increases include the first attempt.
  for (const outcome of ['succeeded', 'stopped', 'lost', 'failed', 'retried', 'unknown']) attempts.inc({ outcome }, 0);
  return {
    seconds: new Histogram({
      name: 'dropstream_evaluator_evaluation_seconds',
      help: 'Seconds from the claim of an evaluation to its result.',
      buckets: [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000],
      registers,
    }),
    images: new Counter({
      name: 'dropstream_evaluator_images_total',
      help: 'Number of images evaluated; an image counts twice if the moving average is evaluated too.',
      registers,
    }),
    attempts,
    queueDepth: new Gauge({ name: 'dropstream_evaluator_queue_depth', help: 'Number of evaluations that wait for a worker.', registers }),
    active: new Gauge({
      name: 'dropstream_evaluator_evaluations_active',
      help: 'Number of evaluations that this process runs.',
      registers,
    }),
  };
}
