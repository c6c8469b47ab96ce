/** Options of the trainer, from flags, the environment or a file. */
import { z } from 'zod';
import { type ConfigOf, defineConfig } from '#rpc/config.js';
import { addressOrEmpty, integer, serviceAddress, serviceOptions } from '#rpc/service-options.js';
import { storeOptions, storeProbeOption } from '#rpc/service-store.js';
import { instanceOptions } from '#work/instance.js';

export const trainerOptions = {
  ...serviceOptions({ port: 7013 }),
  ...storeOptions('runs and checkpoints'),
  ...storeProbeOption,
  role: {
    schema: z.enum(['api', 'worker', 'all']).default('all'),
    help: 'what this process does: api answers calls, worker trains, all does both',
  },
  data: {
    schema: z.array(serviceAddress(7011)).default([]),
    help: 'host:port of every data replica, or dns:///host:port for all replicas behind one name',
    list: true,
  },
  evaluator: { schema: addressOrEmpty(7014).default(''), help: 'host:port of the evaluator; empty: checkpoints are not evaluated' },
  scheduler: { schema: addressOrEmpty(7012).default(''), help: 'host:port of the scheduler; empty: runs cannot name schedules' },
  workers: { schema: integer(1, 16).default(1), help: 'number of runs that this process trains at the same time' },
  pollMs: {
    schema: integer(20, 60_000).default(1000),
    help: 'milliseconds between checks of the queue and of the logs of its runs for requests such as a pause',
  },
  leaseTtlMs: {
    schema: integer(200, 600_000).default(15_000),
    help: 'milliseconds without a heartbeat after which another worker takes over a run',
  },
  maxAttempts: { schema: integer(1, 100).default(5), help: 'number of attempts without a new checkpoint after which a run fails' },
  backoffMs: {
    schema: integer(0, 600_000).default(1000),
    help: 'milliseconds to wait after the first attempt without a new checkpoint; the wait doubles with each further one',
  },
  ...instanceOptions,
  prefetch: { schema: integer(1, 64).default(4), help: 'number of batches that are requested from the data service in advance' },
  prefetchBytes: {
    schema: integer(1 << 20, 2 ** 31).default(256 << 20),
    help: 'largest total size in bytes of the batches that are requested in advance',
  },
  dataWaitMs: {
    schema: integer(100, 86_400_000).default(300_000),
    help: 'milliseconds after which an attempt that cannot get a batch from any data replica saves a checkpoint and ends',
  },
  evaluationWaitMs: {
    schema: integer(0, 86_400_000).default(600_000),
    help: 'milliseconds without progress after which a run that has finished training stops waiting for its evaluations',
  },
  stopStepMs: {
    schema: integer(0, 3_600_000).default(5000),
    help: 'milliseconds after SIGTERM that the step under way may take to end; one that would take longer, by the step before it, is cancelled at once, and the next worker does it again; the checkpoint is written after it',
  },
  groupHost: {
    schema: z.string().default(''),
    help: 'address of this machine that other workers of the same run reach; empty: --host, or the first address of the machine if that is any address',
  },
  memberSilenceMs: {
    schema: integer(500, 600_000).default(10_000),
    help: 'milliseconds without a sign of life after which a worker of a run that several workers compute counts as lost',
  },
} as const;

export type TrainerConfig = ConfigOf<typeof trainerOptions>;

export const trainerConfig = defineConfig('trainer', trainerOptions);
