/** Options of the evaluator: flags, environment or file. */
import { z } from 'zod';
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { integer, serviceOptions } from '#rpc/service-options.js';

export const evaluatorOptions = {
  ...serviceOptions({ port: 7014 }),
  store: {
    schema: z.string().min(1),
    help: 'where checkpoints and evaluations are kept: a folder, file:///folder or s3://bucket/prefix?endpoint=…',
  },
  role: { schema: z.enum(['api', 'worker', 'all']).default('all'), help: 'api answers calls, worker scores, all does both' },
  data: {
    schema: z.array(z.string().min(1)).default([]),
    help: 'host:port of every data replica, or dns:///host:port for all behind a name',
    list: true,
  },
  workers: { schema: integer(1, 16).default(1), help: 'evaluations that this process does at the same time' },
  pollMs: { schema: integer(20, 60_000).default(1000), help: 'milliseconds between looks at the queue' },
  leaseTtlMs: {
    schema: integer(200, 600_000).default(15_000),
    help: 'milliseconds without a heartbeat after which an evaluation is taken over',
  },
  maxAttempts: { schema: integer(1, 100).default(5), help: 'attempts after which an evaluation fails' },
  backoffMs: { schema: integer(0, 600_000).default(1000), help: 'first wait after an attempt that failed, doubled each time' },
  prefetch: { schema: integer(1, 64).default(4), help: 'batches in flight' },
  prefetchBytes: { schema: integer(1 << 20, 2 ** 31).default(256 << 20), help: 'bytes of batches in flight' },
} as const;

export type EvaluatorConfig = ConfigOf<typeof evaluatorOptions>;

export const evaluatorConfig = defineConfig('evaluator', evaluatorOptions);
