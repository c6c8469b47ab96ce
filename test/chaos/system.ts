/** The whole system of the storm: MinIO behind a gateway and toxiproxy, and every service as several processes, each with a way of its own to the store. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { type RunningMinio, startMinio } from '../support/minio.js';
import type { ServiceName } from '../support/processes.js';
import { findTool } from '../support/tool.js';
import { mountSmallDisk, type SmallDisk } from './disk.js';
import { FleetProcess } from './fleet.js';
import { StoreGateway } from './store-gateway.js';
import { Toxiproxy } from './toxiproxy.js';

export const TTL_MS = 2000;
/** The way from the trainer to the evaluator. */
export const EVALUATOR_PROXY = 'to-evaluator';

export interface System {
  readonly folder: string;
  readonly logs: string;
  /** Straight to MinIO, for checks and for damage. */
  readonly store: ObjectStore;
  readonly storeUri: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly toxiproxy: Toxiproxy;
  readonly gateway: StoreGateway;
  readonly disk: SmallDisk | undefined;
  readonly processes: FleetProcess[];
  /** Names of the proxies between a worker and the data replicas. */
  readonly dataProxies: string[];
  of(service: ServiceName, role?: string): FleetProcess[];
  /** The store as a process of this name reaches it: through a proxy of its own, called `s3-NAME`. */
  storeFor(name: string): Promise<string>;
  stop(): Promise<void>;
}

/** For what is stored before and after the storm, and in a minute of it: checkpoints stay, and MinIO keeps deleted ones for minutes. */
const DISK_MIB = 512;
const DISK_MIB_A_MINUTE = 320;
const MOST_DISK_MIB = 8192;

/** MinIO, the gateway and toxiproxy; no service yet. @returns the reason to skip where a tool is missing */
export async function openSystem(folder: string, stormMinutes: number): Promise<System | { skip: string }> {
  const tool = await findTool('toxiproxy');
  if ('skip' in tool) return tool;
  const logs = join(folder, 'logs');
  mkdirSync(logs, { recursive: true });
  const disk = mountSmallDisk(join(folder, 'disk'), Math.min(MOST_DISK_MIB, Math.ceil(DISK_MIB + DISK_MIB_A_MINUTE * stormMinutes)));
  const minio = await startMinio(disk && join(disk.folder, 'minio'));
  if ('skip' in minio) {
    disk?.unmount();
    return minio;
  }
  const gateway = await StoreGateway.start(new URL(minio.endpoint).host);
  const toxiproxy = await Toxiproxy.start(tool.path);
  return await connectParts(folder, logs, minio, gateway, toxiproxy, disk);
}

async function connectParts(
  folder: string,
  logs: string,
  minio: RunningMinio,
  gateway: StoreGateway,
  toxiproxy: Toxiproxy,
  disk: SmallDisk | undefined,
): Promise<System> {
  const storeUri = await minio.createBucket('chaos');
  const env = { ...process.env, ...minio.env, DROPSTREAM_THREADS: '1', NODE_TEST_CONTEXT: '' };
  const store = await openStore(storeUri, { env });
  const processes: FleetProcess[] = [];
  return {
    folder,
    logs,
    store,
    storeUri,
    env,
    toxiproxy,
    gateway,
    disk,
    processes,
    dataProxies: [],
    of: (service, role) => processes.filter((one) => one.service === service && (role === undefined || one.options.argv.includes(role))),
    storeFor: async (name) => {
      const address = await toxiproxy.create(`s3-${name}`, gateway.address);
      return storeUri.replace(minio.endpoint, `http://${address}`);
    },
    stop: async () => {
      await Promise.all(processes.map((one) => one.stop()));
      await store.close();
      await toxiproxy.stop();
      await gateway.stop();
      await minio.stop();
      disk?.unmount();
      rmSync(join(folder, 'disk'), { recursive: true, force: true });
    },
  };
}

/** Starts two data replicas, a scheduler, an evaluator and a second worker of it, two replicas of the trainer's API and `workers` workers. */
export async function startFleet(system: System, dataRoot: string, workers: number): Promise<void> {
  const { logs, env, processes, toxiproxy, dataProxies } = system;
  const add = async (name: string, service: ServiceName, argv: string[]): Promise<FleetProcess> => {
    const one = new FleetProcess({
      name,
      service,
      argv: ['--store', await system.storeFor(name), '--drain-delay-ms', '0', '--drain-ms', '5000', ...argv],
      env,
      logs,
    });
    processes.push(one);
    await one.start();
    return one;
  };
  const data = await Promise.all(['data-1', 'data-2'].map((name) => add(name, 'data', ['--root', dataRoot, '--threads', '1'])));
  const [scheduler] = await Promise.all([add('scheduler', 'scheduler', ['--watch-poll-ms', '200'])]);
  const paths = await Promise.all(
    data.map(async ({ name, address }) => {
      dataProxies.push(`to-${name}`);
      return await toxiproxy.create(`to-${name}`, address);
    }),
  );
  const quick = [
    '--data',
    paths.join(','),
    '--poll-ms',
    '200',
    '--lease-ttl-ms',
    String(TTL_MS),
    '--backoff-ms',
    '100',
    '--max-attempts',
    '100',
  ];
  const evaluator = await add('evaluator', 'evaluator', ['--role', 'all', ...quick]);
  await add('evaluator-worker', 'evaluator', ['--role', 'worker', ...quick]);
  const evaluatorPath = await toxiproxy.create(EVALUATOR_PROXY, evaluator.address);
  const peers = [...quick, '--scheduler', scheduler!.address, '--evaluator', evaluatorPath];
  for (const name of ['api-1', 'api-2']) await add(name, 'trainer', ['--role', 'api', ...peers]);
  for (let k = 1; k <= workers; k++) await add(`worker-${k}`, 'trainer', ['--role', 'worker', ...peers]);
}
