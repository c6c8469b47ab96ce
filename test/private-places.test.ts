/** What callers are told when something of the server is away, damaged or elsewhere: the reason, and no folder, store, address or stack trace. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { ServiceError } from '@grpc/grpc-js';
import { locationKey, saveLocation } from '#data/manifest/manifest-location.js';
import { DataServiceClient, type DataServiceService, Plan } from '#protocol/dropstream/v1/data.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { connect, type TypedClient } from '#rpc/client.js';
import { dataConfig } from '../services/data/config.js';
import { start as startData } from '../services/data/main.js';
import { TrainingServices } from './support/training-services.js';

const soon = { timeoutMs: 20_000 };
const parent = 'projects/p';
const drop = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.STANDARD, schedule: DropSchedule.CONSTANT, cutoffEpoch: 0 };

let services: TrainingServices;
let elsewhere: string;
before(async () => {
  services = await TrainingServices.open({ train: 24, test: 8 });
  elsewhere = await mkdtemp(join(tmpdir(), 'dropstream-elsewhere-'));
});
after(async () => {
  await services.close();
  await rm(elsewhere, { recursive: true });
});

/** Everything that a failed call says: the message, the text of the status and the text in its details; '' for one that was answered. */
async function saidIfAny(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => '',
    (error: Error) => {
      const { details = '', metadata } = (error.cause ?? {}) as Partial<ServiceError>;
      const trailers = Object.values(metadata?.getMap() ?? {}).map((value) => Buffer.from(value as Buffer).toString('utf8'));
      return [error.message, details, ...trailers].join('\n');
    },
  );
}

async function said(work: Promise<unknown>): Promise<string> {
  const text = await saidIfAny(work);
  assert.notEqual(text, '', 'it was answered');
  return text;
}

function showsNoPlace(text: string, ...more: readonly string[]): void {
  for (const place of [services.folder, elsewhere, tmpdir(), homedir(), process.cwd(), '127.0.0.1', 'localhost', ...more])
    assert.ok(!text.includes(place), `shows ${place}: ${text}`);
  assert.doesNotMatch(text, /\n\s+at |\.[jt]s:\d|node_modules|s3:\/\/|ENOENT.*'\//);
}

const manifestKey = (sha256: string): string => `manifests/${sha256}`;

const all = async (stream: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of stream);
};

/** A client of a replica that reads from one folder only. */
async function replica(root: string): Promise<TypedClient<typeof DataServiceService>> {
  const argv = ['--port', '0', '--admin-port', '0', '--log-level', 'silent', '--store', services.storeUri, '--root', root];
  const service = await startData(dataConfig.parse({ argv }), { processMetrics: false });
  const client = connect(DataServiceClient, `127.0.0.1:${service.port}`, { retry: { attempts: 1 } });
  after(async () => {
    client.close();
    await service.close();
  });
  return client;
}
const planOf = (manifest: string): Plan =>
  Plan.fromPartial({ dataset: { manifest }, batchSize: 4, transform: { inputSize: 28, training: true } });

test('a data set that is outside of the roots', async () => {
  const client = await replica(elsewhere);
  const text = await said(all(client.getBatch({ plan: planOf(services.trainManifest) }, soon)));
  assert.match(text, /is outside the allowed folders|its data set is not below/);
  showsNoPlace(text);
});

test('a store that the data set names and nobody allowed is neither called nor named', async () => {
  let connections = 0;
  const trap = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
  after(() => trap.close());
  const { port } = trap.address() as { port: number };
  const manifest = await services.index(join(services.folder, 'tiny'), 'test');
  await saveLocation(
    services.store,
    { project: 'default', sha256: manifest },
    `s3://bucket/prefix?endpoint=http://127.0.0.1:${port}&region=us-east-1`,
  );
  const client = await replica(elsewhere);
  const text = await said(all(client.getBatch({ plan: planOf(manifest) }, soon)));
  assert.match(text, /the store of this data set is none that this replica may read/);
  showsNoPlace(text, String(port), 'bucket');
  assert.equal(connections, 0);
  await saveLocation(services.store, { project: 'default', sha256: manifest }, join(services.folder, 'tiny'));
});

test('no request has a field for an address, a store or a path', () => {
  const set = fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../libs/protocol/descriptors.binpb', import.meta.url)));
  const messages = new Map<string, (typeof set.file)[number]['messageType'][number]>(
    set.file.flatMap((file) => file.messageType.map((message) => [`.${file.package}.${message.name}`, message] as const)),
  );
  const found: string[] = [];
  const seen = new Set<string>();
  const look = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const field of messages.get(name)?.field ?? []) {
      if (
        field.type === 9 &&
        /(^|_)(ur[il]|endpoint|bucket|host|address|path|file|folder|dir|store|webhook|callback)(_|$)/.test(field.name)
      )
        found.push(`${name}.${field.name}`);
      look(field.typeName);
    }
  };
  for (const file of set.file)
    if (file.package.startsWith('dropstream.')) for (const { method } of file.service) for (const { inputType } of method) look(inputType);
  assert.ok(seen.size > 30);
  assert.deepEqual(found, []);
});

test('a manifest that is damaged, and files of a data set that are gone, which are named as they lie below the root', async () => {
  const client = await replica(services.folder);
  const manifest = await services.index(join(services.folder, 'tiny'), 'train');
  const { bytes } = await services.store.get(manifestKey(manifest));
  await services.store.put(manifestKey(manifest), Buffer.concat([bytes, Buffer.from('x')]));
  const damaged = await said(client.describeDataset({ dataset: { manifest } }, soon));
  assert.match(damaged, /manifest [0-9a-f]{64} is damaged/);
  showsNoPlace(damaged);
  await services.store.put(manifestKey(manifest), bytes);

  const images = join(services.folder, 'tiny', 'train-images-idx3-ubyte');
  await rename(images, `${images}.away`);
  const gone = await said(all(client.getBatch({ plan: planOf(manifest) }, soon)));
  await rename(`${images}.away`, images);
  showsNoPlace(gone);
});

test('where a data set is, when that is damaged', async () => {
  const client = await replica(elsewhere);
  const manifest = await services.index(join(services.folder, 'tiny'), 'test');
  await services.store.put(locationKey({ project: 'default', sha256: manifest }), Buffer.from('{"path":"/'));
  const text = await said(all(client.getBatch({ plan: planOf(manifest) }, soon)));
  assert.match(text, /run `dropstream data index` on the data set again/);
  showsNoPlace(text);
});

test('a scheduler and a data service that do not answer', async () => {
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const { port } = closed.address() as { port: number };
  await new Promise((resolve) => closed.close(resolve));
  for (const [option, spec] of [
    ['--scheduler', services.spec({ schedule: `${parent}/schedules/s` })],
    ['--data', services.spec()],
  ] as const) {
    const { client } = await services.trainer(['--role', 'api', option, `127.0.0.1:${port}`]);
    const work = client.createRun({ parent, spec, validateOnly: true }, { timeoutMs: 60_000 });
    const text = await saidIfAny(work);
    showsNoPlace(text, String(port));
    if (option === '--scheduler') assert.match(text, /unavailable|deadline/i);
  }
});

test('objects of the store that are damaged, alone and in lists', async () => {
  const { client: scheduler } = await services.scheduler();
  const { client: trainer } = await services.trainer(['--role', 'api']);
  await scheduler.createSchedule({ parent, scheduleId: 'hurt', spec: drop }, soon);
  await trainer.createRun({ parent, runId: 'hurt', spec: services.spec() }, soon);
  for (const name of await readdir(services.storeUri, { recursive: true }))
    if (/(revisions\/\d+\.json|log\/\d+)$/.test(name)) await writeFile(join(services.storeUri, name), 'junk');
  const fresh = [(await services.scheduler()).client, (await services.trainer(['--role', 'api'])).client] as const;
  const texts = [
    await said(fresh[0].getSchedule({ name: `${parent}/schedules/hurt` }, soon)),
    await said(fresh[1].getRun({ name: `${parent}/runs/hurt` }, soon)),
  ];
  const { unreadable: schedules } = await fresh[0].listSchedules({ parent }, soon);
  const { unreadable: runs } = await fresh[1].listRuns({ parent }, soon);
  assert.ok(schedules.length > 0 && runs.length > 0);
  for (const text of [...texts, JSON.stringify([schedules, runs])]) {
    assert.match(text, /damaged/);
    showsNoPlace(text);
  }
});

test('a store whose folder is gone, or is a file', async () => {
  for (const stand of ['nothing', 'a file']) {
    const folder = join(elsewhere, `store with ${stand}`);
    await mkdir(folder);
    const { client } = await services.scheduler(['--store', folder]);
    await client.createSchedule({ parent, scheduleId: 's', spec: drop }, soon);
    await rm(folder, { recursive: true });
    if (stand === 'a file') await writeFile(folder, '');
    const call = { timeoutMs: 8000 };
    const texts = await Promise.all([
      saidIfAny(client.createSchedule({ parent, scheduleId: 't', spec: drop }, call)),
      saidIfAny(client.getSchedule({ name: `${parent}/schedules/other` }, call)),
      saidIfAny(client.deleteSchedule({ name: `${parent}/schedules/s` }, call)),
    ]);
    for (const text of texts) showsNoPlace(text);
    await rm(folder, { recursive: true, force: true });
  }
});
