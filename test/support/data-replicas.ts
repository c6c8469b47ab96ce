/** A data service through real gRPC, over small data sets of every kind, for the test files of services/data. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import {
  type BatchHeader,
  DataServiceClient,
  type GetBatchRequest,
  type Plan,
  Plan as PlanMessage,
  SampleOrder,
  TransformSpec,
} from '#protocol/dropstream/v1/data.js';
import { type ClientClass, connect } from '#rpc/client.js';
import type { RunningService } from '#rpc/start-service.js';
import { DirectoryStore } from '#storage/directory-store.js';
import { silentLogger } from '#telemetry/logger.js';
import { dataConfig } from '../../services/data/config.js';
import { start } from '../../services/data/main.js';
import { writeCifar, writeIdx, writeImageFolder } from './sample-datasets.js';

export const addressOf = (service: RunningService) => `127.0.0.1:${service.port}`;
export const connectTo = (one: RunningService) =>
  connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, addressOf(one));
export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
export const signal = () => AbortSignal.timeout(30_000);
export const scrape = async ({ adminPort }: RunningService) => await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();

/** `folder` (3 classes of 6 PNGs), `idx` (50 of 28 × 28) and `cifar` (30 of 32 × 32), indexed, with one replica; all removed after the tests of the file. */
export async function dataReplicas() {
  const base = mkdtempSync(join(tmpdir(), 'dropstream-data-service-'));
  const [root, storePath] = [join(base, 'root'), join(base, 'store')];
  const running = new Set<RunningService>();
  const manifests: Record<string, string> = {};

  /** One more replica; ends with the tests where the caller does not close it. */
  async function replica(...argv: string[]): Promise<RunningService> {
    const config = dataConfig.parse({ argv: ['--port', '0', '--admin-port', '0', '--store', storePath, '--root', root, ...argv] });
    const service = await start(config, { logger: silentLogger(), processMetrics: false });
    running.add(service);
    return service;
  }

  async function index(path: string, split = '', project = 'default'): Promise<string> {
    const store = await DirectoryStore.open(storePath);
    const dataset = await indexDataset(await AllowedRoots.open([base]), path, { split });
    await saveManifest(store, dataset, project);
    await store.close();
    return dataset.sha256;
  }

  /** `dataset`: a name from above, or a manifest. */
  const plan = (dataset: string, transform: Partial<TransformSpec> = {}, rest: Partial<Plan> = {}): Plan => ({
    ...PlanMessage.create(),
    dataset: { manifest: manifests[dataset] ?? dataset },
    seed: 5n,
    batchSize: 4,
    order: SampleOrder.SHUFFLED,
    transform: {
      ...TransformSpec.create(),
      inputSize: dataset === 'folder' ? 40 : dataset === 'cifar' ? 32 : 28,
      training: true,
      ...transform,
    },
    ...rest,
  });

  mkdirSync(root);
  writeImageFolder(join(root, 'folder'), { perClass: 6 });
  writeIdx(join(root, 'idx'), { count: 50 });
  writeCifar(join(root, 'cifar'), 'cifar10');
  for (const name of ['folder', 'idx', 'cifar']) manifests[name] = await index(join(root, name), name === 'folder' ? '' : 'train');
  const service = await replica();
  const client = connectTo(service);
  after(async () => {
    client.close();
    await Promise.all([...running].map((one) => one.close()));
    rmSync(base, { recursive: true, force: true });
  });

  async function getBatch(
    request: Partial<GetBatchRequest>,
    from = client,
  ): Promise<{ header: BatchHeader; payload: Buffer; chunks: number[] }> {
    let header: BatchHeader | undefined;
    const parts: Buffer[] = [];
    for await (const { part } of from.getBatch(request, { signal: signal() })) {
      if (part?.$case === 'header') header = part.value;
      else if (part) parts.push(Buffer.from(part.value));
    }
    assert.ok(header);
    return { header, payload: Buffer.concat(parts), chunks: parts.map((part) => part.byteLength) };
  }

  return { base, root, manifests, service, client, replica, index, plan, getBatch };
}
