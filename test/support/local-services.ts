import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { type IndexedDataset, indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { openStore } from '#storage/open-store.js';
import type { RunningService, ServiceName } from '../../services/cli/addresses.js';
import { writeSyntheticImages } from '../../services/cli/demo/synthetic-images.js';
import { type RunningServices, type StartAllOptions, startAll } from '../../services/cli/up/start-all.js';

/** All four services as child processes over a small indexed data set (28 × 28, 10 classes). Whoever starts it stops it. */
export interface LocalServices {
  readonly folder: string;
  readonly services: RunningServices;
  readonly train: IndexedDataset;
  readonly test: IndexedDataset;
  of(service: ServiceName): RunningService;
  /** DROPSTREAM_{DATA,…} and DROPSTREAM_HOME. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** `perClass` images of each class, every seventh a test image. `store` defaults to a directory. */
export async function startLocalServices({
  perClass = 70,
  store,
  ...rest
}: Partial<StartAllOptions> & { perClass?: number } = {}): Promise<LocalServices> {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-services-'));
  const images = await writeSyntheticImages(join(folder, 'data'), perClass);
  const uri = store ?? join(folder, 'store');
  const env = { ...process.env, ...rest.env };
  const index = async (split: string) => {
    const dataset = await indexDataset(await AllowedRoots.open([folder]), images.folder, { kind: 'idx', split });
    const opened = await openStore(uri, { env });
    await saveManifest(opened, dataset, 'default').finally(() => opened.close());
    return dataset;
  };
  await mkdir(join(folder, 'home'));
  const train = await index('train');
  const test = await index('val');
  const services = await startAll({
    home: join(folder, 'home'),
    dataRoots: [join(folder, 'data')],
    cwd: folder,
    drainMs: 3000,
    ...rest,
    store: uri,
    env,
  });
  const of = (service: ServiceName) => services.state.services.find((s) => s.service === service)!;
  const addresses = (['data', 'scheduler', 'trainer', 'evaluator'] as const).map((name) => [
    `DROPSTREAM_${name.toUpperCase()}`,
    of(name).address,
  ]);
  return {
    folder,
    services,
    train,
    test,
    of,
    env: { ...Object.fromEntries(addresses), DROPSTREAM_HOME: join(folder, 'home') },
    stop: async () => {
      await services.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
