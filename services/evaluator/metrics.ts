/** The evaluator's own series. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type EvaluatorMetrics = ReturnType<typeof createEvaluatorMetrics>;

export function createEvaluatorMetrics(registry: Registry) {
  const registers = [registry];
  const attempts = new Counter({
    name: 'dropstream_evaluator_attempts_total',
    help: 'Attempts at evaluations that ended, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  // Series begin at 0, so that increases count from the first attempt.
  for (const outcome of ['succeeded', 'stopped', 'lost', 'failed', 'retried', 'unknown']) attempts.inc({ outcome }, 0);
  return {
    seconds: new Histogram({
      name: 'dropstream_evaluator_evaluation_seconds',
      help: 'Seconds of an evaluation, from the claim to its result.',
      buckets: [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000],
      registers,
    }),
    images: new Counter({
      name: 'dropstream_evaluator_images_total',
      help: 'Images scored; twice where the average is scored too.',
      registers,
    }),
    attempts,
    queueDepth: new Gauge({ name: 'dropstream_evaluator_queue_depth', help: 'Evaluations that wait for a worker.', registers }),
    active: new Gauge({ name: 'dropstream_evaluator_evaluations_active', help: 'Evaluations that this process does.', registers }),
  };
}
