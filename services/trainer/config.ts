/** Options of the trainer: flags, environment or file. */
import { z } from 'zod';
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { integer, serviceOptions } from '#rpc/service-options.js';

const address = z.string().regex(/^([^\s,]+(:\d+)?)?$/, 'host:port, or empty');

export const trainerOptions = {
  ...serviceOptions({ port: 7013 }),
  store: {
    schema: z.string().min(1),
    help: 'where runs and checkpoints are kept: a folder, file:///folder or s3://bucket/prefix?endpoint=…',
  },
  role: { schema: z.enum(['api', 'worker', 'all']).default('all'), help: 'api answers calls, worker trains, all does both' },
  data: {
    schema: z.array(z.string().min(1)).default([]),
    help: 'host:port of every data replica, or dns:///host:port for all behind a name',
    list: true,
  },
  evaluator: { schema: address.default(''), help: 'host:port of the evaluator; empty: checkpoints are not evaluated' },
  scheduler: { schema: address.default(''), help: 'host:port of the scheduler; empty: runs cannot name schedules' },
  workers: { schema: integer(1, 16).default(1), help: 'runs that this process trains at the same time' },
  pollMs: { schema: integer(20, 60_000).default(1000), help: 'milliseconds between looks at the queue and at requests for a run' },
  leaseTtlMs: { schema: integer(200, 600_000).default(15_000), help: 'milliseconds without a heartbeat after which a run is taken over' },
  maxAttempts: { schema: integer(1, 100).default(5), help: 'attempts without a further checkpoint after which a run fails' },
  backoffMs: { schema: integer(0, 600_000).default(1000), help: 'first wait after an attempt without progress, doubled each time' },
  prefetch: { schema: integer(1, 64).default(4), help: 'batches in flight' },
  prefetchBytes: { schema: integer(1 << 20, 2 ** 31).default(256 << 20), help: 'bytes of batches in flight' },
  dataWaitMs: {
    schema: integer(100, 86_400_000).default(300_000),
    help: 'milliseconds that a batch is asked for, on all replicas, before the attempt saves and ends',
  },
  evaluationWaitMs: {
    schema: integer(0, 86_400_000).default(600_000),
    help: 'milliseconds that a trained run waits for evaluations without any progress of theirs',
  },
} as const;

export type TrainerConfig = ConfigOf<typeof trainerOptions>;

export const trainerConfig = defineConfig('trainer', trainerOptions);
