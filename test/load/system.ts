/** The services under load, as real processes over a directory store or MinIO. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { type ClientClass, connect, type TypedClient } from '#rpc/client.js';
import { openStore } from '#storage/open-store.js';
import { startMinio } from '../support/minio.js';
import { type ServiceProcess, startService } from '../support/processes.js';
import { writeImageFolder } from '../support/sample-datasets.js';
import { connectTrainer, type Trainer } from '../support/training.js';

const project = 'load';
export const parent = `projects/${project}`;

export interface LoadedSystem {
  /** SHA-256 of the manifest of a set of images. */
  readonly manifest: string;
  readonly data: ServiceProcess;
  readonly trainer: ServiceProcess;
  readonly scheduler: ServiceProcess;
  readonly runs: Trainer;
  readonly schedules: TypedClient<typeof SchedulerServiceClient.service>;
  close(): Promise<void>;
}

/** @returns the system, or the reason why there is none */
export async function openSystem(kind: 'directory' | 'minio'): Promise<LoadedSystem | { readonly skip: string }> {
  const ends: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), 'dropstream-load-'));
    ends.push(() => rm(folder, { recursive: true, force: true }));
    let uri = join(folder, 'store');
    let env: Record<string, string> = {};
    if (kind === 'minio') {
      const minio = await startMinio();
      if ('skip' in minio) {
        await close();
        return minio;
      }
      ends.push(() => minio.stop());
      uri = await minio.createBucket('load');
      env = { ...minio.env };
    }
    const images = join(folder, 'images');
    writeImageFolder(images, { perClass: 30, size: 300 });
    const store = await openStore(uri, { env });
    const dataset = await indexDataset(await AllowedRoots.open([folder]), images);
    // Clients of batches name no project.
    for (const owner of [project, 'default']) await saveManifest(store, dataset, owner);
    await store.close();
    const t = { after: (end: unknown) => void ends.push(end as () => unknown) };
    const argv = ['--store', uri, '--log-level', 'warn'];
    const data = await startService(t, 'data', [...argv, '--root', folder], env);
    const trainer = await startService(t, 'trainer', [...argv, '--role', 'api'], env);
    const scheduler = await startService(t, 'scheduler', argv, env);
    const runs = connectTrainer(trainer.address);
    const schedules = connect(SchedulerServiceClient as ClientClass<typeof SchedulerServiceClient.service>, scheduler.address);
    ends.push(() => runs.close());
    ends.push(() => schedules.close());
    return { manifest: dataset.sha256, data, trainer, scheduler, runs, schedules, close };
  } catch (error) {
    await close();
    throw error;
  }
}
