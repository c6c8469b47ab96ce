/** The evaluator's own series. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type EvaluatorMetrics = ReturnType<typeof createEvaluatorMetrics>;

export function createEvaluatorMetrics(registry: Registry) {
  const registers = [registry];
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
    attempts: new Counter({
      name: 'dropstream_evaluator_attempts_total',
      help: 'Attempts at evaluations that ended, by outcome.',
      labelNames: ['outcome'],
      registers,
    }),
    queueDepth: new Gauge({ name: 'dropstream_evaluator_queue_depth', help: 'Evaluations that wait for a worker.', registers }),
    active: new Gauge({ name: 'dropstream_evaluator_evaluations_active', help: 'Evaluations that this process does.', registers }),
  };
}
