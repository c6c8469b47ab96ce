/** Data sets in object stores: a directory, and a real MinIO where there is one. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Aborted, DataLoss, FailedPrecondition, InvalidArgument, PermissionDenied } from '#errors/errors.js';
import { listAll, type ObjectStore, StoreUnavailable } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { countedStore } from '../../../test/support/counted-store.js';
import { type RunningMinio, startMinio } from '../../../test/support/minio.js';
import { writeIdx, writeImageFolder, writeTarShards } from '../../../test/support/sample-datasets.js';
import { AllowedRoots } from '../datasets/allowed-roots.js';
import { DatasetReader } from '../datasets/dataset-reader.js';
import { FolderSource } from '../datasets/folder-source.js';
import { indexDataset } from '../datasets/index-dataset.js';
import { LocalTree } from '../datasets/local-tree.js';
import { Manifest } from '../manifest/manifest.js';
import { saveManifest } from '../manifest/manifest-store.js';
import { DataSources, type DataSourcesOptions } from './data-sources.js';
import { indexInStore } from './index-in-store.js';
import { pushedKey } from './object-keys.js';
import { pushDataset } from './push-dataset.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-sources-'));
const nowhere = join(base, 'nowhere');
let minio: RunningMinio | { skip: string };
let counter = 0;
const opened: { close(): Promise<void> }[] = [];
before(async () => {
  mkdirSync(nowhere);
  minio = await startMinio();
});
after(async () => {
  for (const one of opened) await one.close();
  if ('stop' in minio) await minio.stop();
  rmSync(base, { recursive: true, force: true });
});
const newFolder = () => mkdtempSync(join(base, `set${counter++}-`));

interface Place {
  readonly uri: string;
  readonly env: Record<string, string | undefined>;
  readonly store: ObjectStore;
}
/** A new store in a directory or in MinIO. */
async function newPlace(kind: 'directory' | 'minio', prefix = 'sets'): Promise<Place> {
  const [uri, env] =
    'skip' in minio || kind === 'directory' ? [newFolder(), {}] : [await minio.createBucket(`bucket-${counter++}`, prefix), minio.env];
  const store = await openStore(uri, { env });
  opened.push(store);
  return { uri, env, store };
}
const kinds = [
  ['directory', 'directory'],
  ['MinIO', 'minio'],
] as const;
const skipped = (t: { skip(why: string): void }, kind: 'directory' | 'minio') => {
  if (kind === 'directory' || !('skip' in minio)) return false;
  t.skip(minio.skip);
  return true;
};

async function indexed(folder: string) {
  const roots = await AllowedRoots.open([folder]);
  const dataset = await indexDataset(roots, folder);
  const manifest = new Manifest(dataset.bytes, dataset.sha256);
  return { dataset, manifest, local: new DatasetReader(manifest, new FolderSource(manifest, dataset.folder, roots)) };
}
/** A replica without the folders. */
async function replica(store: ObjectStore, options: Partial<DataSourcesOptions> = {}): Promise<DataSources> {
  const sources = await DataSources.open({ store, roots: await AllowedRoots.open([nowhere]), ...options });
  opened.push(sources);
  return sources;
}
const bytesOf = async (reader: DatasetReader, samples: number, nearby = false) => {
  const all: Buffer[] = [];
  for (let i = 0; i < samples; i++) all.push(Buffer.from((await reader.read(i, { nearby })).bytes));
  return all;
};
const allFiles = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => statSync(path).isFile());

for (const [title, kind] of kinds) {
  test(`${title}: a pushed data set is read without its folder, from the cache the second time`, async (t) => {
    if (skipped(t, kind)) return;
    for (const write of [writeImageFolder, writeTarShards] as ((folder: string) => void)[]) {
      const folder = newFolder();
      write(folder);
      const { dataset, manifest, local } = await indexed(folder);
      const place = await newPlace(kind);
      const store = countedStore(place.store);
      await saveManifest(store, dataset, 'default');
      await assert.rejects((await replica(store)).find('default', manifest), PermissionDenied);
      const pushed = await pushDataset(manifest, new LocalTree(folder), store);
      assert.equal(pushed.uploaded, pushed.files);
      const expected = await bytesOf(local, manifest.samples);
      const cacheFolder = newFolder();
      const sources = await replica(store, { cacheFolder });
      const reader = new DatasetReader(manifest, await sources.find('default', manifest));
      store.counts.ranges = 0;
      assert.deepEqual(await bytesOf(reader, manifest.samples), expected);
      assert.equal(store.counts.ranges, manifest.samples, 'one read a sample');
      assert.deepEqual(await bytesOf(reader, manifest.samples), expected);
      assert.equal(store.counts.ranges, manifest.samples, 'from the cache');
      // Another replica, later, on the same machine, while the store is away.
      const later = await replica(store, { cacheFolder });
      const again = new DatasetReader(manifest, await later.find('default', manifest));
      store.isCutOff = true;
      assert.deepEqual(await bytesOf(again, manifest.samples), expected);
      // What is damaged in the cache is fetched again.
      for (const path of allFiles(cacheFolder)) writeFileSync(path, Buffer.alloc(statSync(path).size, 7));
      await assert.rejects(again.read(0), StoreUnavailable);
      store.isCutOff = false;
      assert.deepEqual(await bytesOf(again, manifest.samples), expected);
      await Promise.all([reader.close(), again.close()]);
    }
  });

  test(`${title}: a store that is for some projects is read for no other, though a store around it is for all`, async (t) => {
    if (skipped(t, kind)) return;
    const folder = newFolder();
    writeImageFolder(folder);
    const { dataset, manifest, local } = await indexed(folder);
    const own = await newPlace('directory');
    for (const project of ['theirs', 'ours']) await saveManifest(own.store, dataset, project);
    const inner = await newPlace(kind, 'deep/sets');
    const expected = await bytesOf(local, 3);
    await pushDataset(manifest, new LocalTree(folder), inner.store);
    const check = async (manifests: ObjectStore, stores: string[]): Promise<void> => {
      const sources = await replica(manifests, { stores, env: inner.env });
      const reader = new DatasetReader(manifest, await sources.find('theirs', manifest));
      assert.deepEqual(await bytesOf(reader, 3), expected);
      await assert.rejects(sources.find('ours', manifest), PermissionDenied);
      await reader.close();
    };
    await check(own.store, [`${inner.uri}#projects=theirs`]);
    await check(own.store, [`${inner.uri}#projects=theirs+more`, `${inner.uri}#projects=others`]);
    await local.close();
    if (kind === 'directory') return; // a store in a directory is no place for others to find
    const there = await newPlace(kind, 'deep/sets');
    for (const path of allFiles(folder)) await there.store.put(path.slice(folder.length + 1), readFileSync(path));
    const found = await indexInStore(there.store, {});
    const other = await newPlace('directory');
    for (const project of ['theirs', 'ours']) await saveManifest(other.store, found, project);
    for (const around of [there.uri.replace('/deep/sets', '/deep'), there.uri.replace('/deep/sets', '')])
      await check(other.store, [around, `${there.uri}#projects=theirs`]);
  });

  test(`${title}: a data set is indexed where it lies, and read through an allowed store only`, async (t) => {
    if (skipped(t, kind)) return;
    for (const write of [writeImageFolder, writeTarShards] as ((folder: string) => void)[]) {
      const folder = newFolder();
      write(folder);
      const { dataset, manifest: expected, local } = await indexed(folder);
      const place = await newPlace(kind, 'deep/sets');
      for (const path of allFiles(folder)) await place.store.put(path.slice(folder.length + 1), readFileSync(path));
      const memory = newFolder();
      const found = await indexInStore(place.store, { memory });
      const manifest = new Manifest(found.bytes, found.sha256);
      assert.deepEqual([found.sha256, found.unchanged], [dataset.sha256, 0], 'as in the folder');
      await delay(1100);
      await indexInStore(place.store, { memory });
      assert.equal((await indexInStore(place.store, { memory })).unchanged, expected.samples);
      if (kind === 'directory') continue; // a store in a directory is no place for others to find
      const own = await newPlace('directory');
      await saveManifest(own.store, found, 'default');
      await assert.rejects((await replica(own.store)).find('default', manifest), PermissionDenied);
      const other = await newPlace(kind);
      await assert.rejects((await replica(own.store, { stores: [other.uri], env: other.env })).find('default', manifest), PermissionDenied);
      const above = place.uri.replace('/deep/sets', '/deep');
      for (const uri of [place.uri, above, place.uri.replace('/deep/sets', '')]) {
        const sources = await replica(own.store, { stores: [uri], env: place.env });
        const reader = new DatasetReader(manifest, await sources.find('default', manifest));
        assert.deepEqual(await bytesOf(reader, 5), await bytesOf(local, 5));
        await reader.close();
      }
    }
  });
}

test('neighbours of a shard are fetched together where they are read together', async () => {
  const folder = newFolder();
  writeTarShards(folder, { shards: 2, perShard: 12, size: 800 });
  const { dataset, manifest, local } = await indexed(folder);
  const store = countedStore((await newPlace('directory')).store);
  await saveManifest(store, dataset, 'default');
  await pushDataset(manifest, new LocalTree(folder), store);
  const reader = new DatasetReader(manifest, await (await replica(store, { cacheFolder: newFolder() })).find('default', manifest));
  store.counts.ranges = 0;
  const expected = await bytesOf(local, 24);
  assert.deepEqual(await bytesOf(reader, 24, true), expected);
  const shardBytes = allFiles(folder).reduce((sum, path) => sum + statSync(path).size, 0);
  assert.ok(shardBytes > 3 << 20, `${shardBytes} bytes`);
  assert.ok(store.counts.ranges <= 2 + shardBytes / 2 ** 20, `${store.counts.ranges} reads`);
  assert.ok(store.counts.bytes <= shardBytes, 'no byte twice');
  // Those who ask at the same time share a fetch.
  const cold = new DatasetReader(manifest, await (await replica(store, { cacheFolder: newFolder() })).find('default', manifest));
  store.counts.ranges = 0;
  const together = await Promise.all(Array.from({ length: 24 }, (_, i) => cold.read(i, { nearby: true })));
  assert.deepEqual(
    together.map(({ bytes }) => Buffer.from(bytes)),
    expected,
  );
  assert.ok(store.counts.ranges <= 2 + shardBytes / 2 ** 20, `${store.counts.ranges} reads together`);
  await Promise.all([reader.close(), cold.close()]);
});

test('objects that are gone, cut or others are DATA_LOSS by name; a caller that leaves does not wait', async () => {
  const folder = newFolder();
  writeImageFolder(folder);
  const { dataset, manifest } = await indexed(folder);
  const { store } = await newPlace('directory');
  await saveManifest(store, dataset, 'default');
  await pushDataset(manifest, new LocalTree(folder), store);
  const reader = new DatasetReader(manifest, await (await replica(store)).find('default', manifest));
  const key = (sample: number) => pushedKey(Buffer.from(manifest.hash(sample)).toString('hex'));
  await store.delete(key(1));
  await assert.rejects(reader.read(1), (error) => error instanceof DataLoss && error.what === 'sample ant/1.png');
  const { bytes } = await store.get(key(2));
  await store.put(key(2), Buffer.concat([bytes, bytes]));
  await assert.rejects(reader.read(2), DataLoss);
  await store.put(key(3), bytes.subarray(1));
  await assert.rejects(reader.read(3), DataLoss);
  await assert.rejects(reader.read(4, { signal: AbortSignal.abort(new Error('gone')) }), /gone/);
  const leaving = new AbortController();
  const reading = reader.read(4, { signal: leaving.signal });
  leaving.abort(new Error('left'));
  await assert.rejects(reading, /left/);
  await reader.read(4);
  await reader.close();
  const other = await newPlace('directory');
  await assert.rejects((await replica(other.store)).find('default', manifest), FailedPrecondition);
});

test('a push sends what is missing, goes on after a stop, and sends no other bytes than were indexed', async () => {
  const folder = newFolder();
  writeImageFolder(folder, { perClass: 20 });
  writeFileSync(join(folder, 'ant', 'copy.png'), readFileSync(join(folder, 'ant', '0.png')));
  const { manifest } = await indexed(folder);
  const { store } = await newPlace('directory');
  const tree = new LocalTree(folder);
  const stop = new AbortController();
  const onProgress = (done: number) => done === 10 && stop.abort(new Error('stopped'));
  await assert.rejects(pushDataset(manifest, tree, store, { signal: stop.signal, onProgress }), /stopped/);
  const before = [];
  for await (const { key } of listAll(store, 'datasets/')) before.push(key);
  assert.ok(before.length >= 10 && before.length < 60, `${before.length} objects`);
  const reports: number[][] = [];
  const rest = await pushDataset(manifest, tree, store, { onProgress: (...report) => reports.push(report) });
  assert.deepEqual([rest.files, rest.uploaded], [61, 60 - before.length], 'equal files once');
  assert.deepEqual(reports.at(-1), [61, 61, rest.uploadedBytes]);
  assert.equal((await pushDataset(manifest, tree, store)).uploaded, 0);
  const [key = ''] = before;
  await store.put(key, Buffer.from('cut'));
  assert.equal((await pushDataset(manifest, tree, store)).uploaded, 1, 'an object of another size');
  const alone = manifest.samples - 1;
  await store.delete(pushedKey(Buffer.from(manifest.hash(alone)).toString('hex')));
  writeFileSync(join(folder, manifest.path(alone)), Buffer.alloc(manifest.byteLengths[alone]!));
  await assert.rejects(pushDataset(manifest, tree, store), Aborted);
  const idx = newFolder();
  writeIdx(idx);
  await assert.rejects(pushDataset((await indexed(idx)).manifest, new LocalTree(idx), store), InvalidArgument);
});
