/** Options of the evaluator, from flags, the environment or a file. */
import { z } from 'zod';
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { integer, serviceAddress, serviceOptions } from '#rpc/service-options.js';
import { storeOptions, storeProbeOption } from '#rpc/service-store.js';
import { instanceOptions } from '#work/instance.js';

export const evaluatorOptions = {
  ...serviceOptions({ port: 7014 }),
  ...storeOptions('checkpoints and evaluations'),
  ...storeProbeOption,
  role: {
    schema: z.enum(['api', 'worker', 'all']).default('all'),
    help: 'what this process does: api answers calls, worker evaluates checkpoints, all does both',
  },
  data: {
    schema: z.array(serviceAddress(7011)).default([]),
    help: 'host:port of every data replica, or dns:///host:port for all replicas behind one name',
    list: true,
  },
  workers: { schema: integer(1, 16).default(1), help: 'number of evaluations that this process runs at the same time' },
  pollMs: { schema: integer(20, 60_000).default(1000), help: 'milliseconds between checks of the queue' },
  leaseTtlMs: {
    schema: integer(200, 600_000).default(15_000),
    help: 'milliseconds without a heartbeat after which another worker takes over an evaluation',
  },
  maxAttempts: { schema: integer(1, 100).default(5), help: 'number of failed attempts after which an evaluation fails' },
  backoffMs: {
    schema: integer(0, 600_000).default(1000),
    help: 'milliseconds to wait after the first failed attempt; the wait doubles with each further one',
  },
  ...instanceOptions,
  prefetch: { schema: integer(1, 64).default(4), help: 'number of batches that are requested from the data service in advance' },
  prefetchBytes: {
    schema: integer(1 << 20, 2 ** 31).default(256 << 20),
    help: 'largest total size in bytes of the batches that are requested in advance',
  },
} as const;

export type EvaluatorConfig = ConfigOf<typeof evaluatorOptions>;

export const evaluatorConfig = defineConfig('evaluator', evaluatorOptions);
