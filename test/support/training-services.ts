/**
 * Data, trainer and evaluator in this process over one directory store, with a tiny indexed data set: what trainer and evaluator tests
 * start from. Everything is closed with the test.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { Unavailable } from '#errors/errors.js';
import { EvaluatorServiceClient, type EvaluatorServiceService } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { SchedulerServiceClient, type SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';
import { type RunEvent, TrainerServiceClient, type TrainerServiceService } from '#protocol/dropstream/v1/trainer.js';
import { connect, type TypedClient } from '#rpc/client.js';
import type { RunningService } from '#rpc/start-service.js';
import type { ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { silentLogger } from '#telemetry/logger.js';
import { locateCheckpoint } from '#work/checkpoint-keys.js';
import { Incarnations } from '#work/incarnations.js';
import { dataConfig } from '../../services/data/config.js';
import { start as startData } from '../../services/data/main.js';
import { evaluatorConfig } from '../../services/evaluator/config.js';
import { start as startEvaluator } from '../../services/evaluator/main.js';
import { schedulerConfig } from '../../services/scheduler/config.js';
import { start as startScheduler } from '../../services/scheduler/main.js';
import { trainerConfig } from '../../services/trainer/config.js';
import { start as startTrainer } from '../../services/trainer/main.js';
import { saveForProjects } from './save-for-projects.js';
import { writeTinyDataset } from './tiny-dataset.js';

export type Trainer = TypedClient<typeof TrainerServiceService>;
export type Scheduler = TypedClient<typeof SchedulerServiceService>;
export type Evaluator = TypedClient<typeof EvaluatorServiceService>;

const free = ['--port', '0', '--admin-port', '0', '--log-level', 'silent'];
const quick = ['--poll-ms', '50', '--lease-ttl-ms', '600', '--backoff-ms', '50'];

export class TrainingServices {
  readonly #closing: (() => Promise<unknown> | unknown)[] = [];

  private constructor(
    readonly folder: string,
    readonly storeUri: string,
    readonly store: ObjectStore,
    readonly trainManifest: string,
    readonly evalManifest: string,
  ) {}

  /** Without services: only the store and the data set. */
  static async open(
    sizes: { train?: number; test?: number } = { train: 96, test: 40 },
    /** Folder for the data set and the store. */
    within: string = tmpdir(),
    /** Default: a folder beside the data set. Credentials of another store are read from the environment of this process. */
    uri?: string,
  ): Promise<TrainingServices> {
    const folder = await mkdtemp(join(within, 'training-'));
    writeTinyDataset(join(folder, 'tiny'), { size: 28, classes: 5, ...sizes });
    const storeUri = uri ?? join(folder, 'store');
    const store = await openStore(storeUri);
    const roots = await AllowedRoots.open([folder]);
    const manifests: string[] = [];
    for (const split of ['train', 'test']) {
      const dataset = await indexDataset(roots, join(folder, 'tiny'), { split });
      await saveForProjects(store, dataset);
      manifests.push(dataset.sha256);
    }
    const services = new TrainingServices(folder, storeUri, store, manifests[0]!, manifests[1]!);
    services.#closing.push(
      // Workers that a test ends after this may still look at the queue, and leave their mark there.
      () => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }),
      () => store.close(),
    );
    return services;
  }

  /** @returns its address */
  async data(): Promise<string> {
    return (await this.dataReplica()).address;
  }

  /** A replica that the test may end; on a free port unless one is given. */
  async dataReplica(port = 0, more: string[] = []): Promise<{ service: RunningService; address: string }> {
    const argv = [...free, '--port', String(port), '--store', this.storeUri, '--root', this.folder, ...more];
    const service = await startData(dataConfig.parse({ argv }), quiet);
    return { service, address: this.#address(service) };
  }

  async trainer(argv: string[]): Promise<{ service: RunningService; client: Trainer }> {
    const service = await startTrainer(trainerConfig.parse({ argv: [...free, ...quick, '--store', this.storeUri, ...argv] }), quiet);
    const client = connect(TrainerServiceClient, this.#address(service));
    this.#closing.push(() => client.close());
    return { service, client };
  }

  async scheduler(argv: string[] = []): Promise<{ client: Scheduler; address: string }> {
    const service = await startScheduler(
      schedulerConfig.parse({ argv: [...free, '--store', this.storeUri, '--watch-poll-ms', '50', ...argv] }),
      quiet,
    );
    const address = this.#address(service);
    const client = connect(SchedulerServiceClient, address);
    this.#closing.push(() => client.close());
    return { client, address };
  }

  /** Indexes another data set below the services' folder. @returns the manifest */
  async index(path: string, split = ''): Promise<string> {
    const dataset = await indexDataset(await AllowedRoots.open([this.folder]), path, { split });
    await saveForProjects(this.store, dataset);
    return dataset.sha256;
  }

  async evaluator(argv: string[]): Promise<{ service: RunningService; client: Evaluator; address: string }> {
    const service = await startEvaluator(evaluatorConfig.parse({ argv: [...free, ...quick, '--store', this.storeUri, ...argv] }), quiet);
    const address = this.#address(service);
    const client = connect(EvaluatorServiceClient, address);
    this.#closing.push(() => client.close());
    return { service, client, address };
  }

  /** Key of the manifest of a checkpoint of the run that has the name now. */
  async manifestKeyOf(checkpoint: string): Promise<string> {
    return (await locateCheckpoint(new Incarnations(this.store), checkpoint)).manifestKey;
  }

  async close(): Promise<void> {
    for (const end of this.#closing.reverse()) await end();
  }

  #address(service: RunningService): string {
    this.#closing.push(() => service.close());
    return `127.0.0.1:${service.port}`;
  }

  /** A spec that trains in a second or two: 5 classes of 28 × 28 stripes. */
  spec(part: Partial<RunSpec> = {}): RunSpec {
    return {
      model: 'vit_nano_p7',
      trainManifest: this.trainManifest,
      evalManifest: '',
      epochs: 2,
      batchSize: 16,
      warmupEpochs: 1,
      lr: 1e-3,
      schedule: '',
      scheduleRevision: 0n,
      optBetas: [],
      cutmixMinmax: [],
      finetune: '',
      ...part,
    };
  }
}

const quiet = { logger: silentLogger(), processMetrics: false };

/** Every event of a run until it ends, or until `until` says so. */
export async function follow(
  client: Trainer,
  name: string,
  until: (event: RunEvent) => boolean = () => false,
  timeoutMs = 60_000,
): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const { event } of client.watchRun({ name }, { timeoutMs })) {
    if (event === undefined) continue;
    events.push(event);
    if (until(event)) break;
  }
  return events;
}

/** The same, over a connection that is made again if it is dropped while the machine is busy, as every watcher of a run does. `until` sees events again then. */
export async function followAgain(...args: Parameters<typeof follow>): Promise<RunEvent[]> {
  for (let tries = 1; ; tries++) {
    try {
      return await follow(...args);
    } catch (error) {
      if (!(error instanceof Unavailable) || tries === 5) throw error;
    }
  }
}

/** The loss of every step of the run's history: what a later attempt did again replaces what an earlier one did. */
export function lossesOf(events: readonly RunEvent[]): number[] {
  const losses: number[] = [];
  for (const { event } of events) {
    if (event?.$case === 'resumed') losses.length = Number(event.value.fromStep);
    if (event?.$case === 'steps') for (const { step, loss } of event.value.steps) losses[Number(step)] = loss;
  }
  return losses;
}

/** SHA-256 of every batch of the run's history, by step. */
export function batchesOf(events: readonly RunEvent[]): string[] {
  const hashes: string[] = [];
  for (const { event } of events) {
    if (event?.$case === 'resumed') hashes.length = Number(event.value.fromStep);
    if (event?.$case !== 'steps') continue;
    for (const { step, batchSha256 } of event.value.steps)
      hashes[Number(step)] = batchSha256.map((hash) => Buffer.from(hash).toString('hex')).join();
  }
  return hashes;
}
