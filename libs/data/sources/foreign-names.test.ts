/** Data sets in buckets as others fill them: any names, markers for folders, hidden objects; and data sets that move. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from 'minio';
import { DataLoss } from '#errors/errors.js';
import { DirectoryStore } from '#storage/directory-store.js';
import { openStore } from '#storage/open-store.js';
import { countedStore } from '../../../test/support/counted-store.js';
import { type RunningMinio, startMinio } from '../../../test/support/minio.js';
import { writeImageFolder } from '../../../test/support/sample-datasets.js';
import { AllowedRoots } from '../datasets/allowed-roots.js';
import { DatasetReader } from '../datasets/dataset-reader.js';
import { indexDataset } from '../datasets/index-dataset.js';
import { Manifest } from '../manifest/manifest.js';
import { saveManifest } from '../manifest/manifest-store.js';
import { DataSources } from './data-sources.js';
import { indexInStore } from './index-in-store.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-foreign-'));
let minio: RunningMinio | { skip: string };
const warnings: string[] = [];
const onWarning = (warning: Error) => warnings.push(warning.message);
before(async () => {
  minio = await startMinio();
  process.on('warning', onWarning);
});
after(async () => {
  process.off('warning', onWarning);
  if ('stop' in minio) await minio.stop();
  rmSync(base, { recursive: true, force: true });
});
let counter = 0;
const newFolder = () => mkdtempSync(join(base, `set${counter++}-`));

test('a bucket with any names and markers is indexed to its end and read', async (t) => {
  if ('skip' in minio) return t.skip(minio.skip);
  writeImageFolder(join(base, 'source'), { classes: ['a'], perClass: 1 });
  const image = readFileSync(join(base, 'source', 'a', '0.png'));
  const { hostname, port } = new URL(minio.endpoint);
  const env = minio.env;
  const client = new Client({
    endPoint: hostname,
    port: Number(port),
    useSSL: false,
    accessKey: env.DROPSTREAM_S3_ACCESS_KEY,
    secretKey: env.DROPSTREAM_S3_SECRET_KEY,
  });
  const many = Array.from({ length: 30 }, (_, i) => `set/a/many ${i}.png`);
  const names: [string[], number, string[]][] = [
    [['set/', 'set/a/', 'set/a/1.png', 'set/b/1.png', 'set/b/'], 2, ['a', 'b']],
    [['set/a/ünï.png', 'set/a/with space.png', 'set/a/p+q.png', 'set/a/100%25.png', 'set/b/x (1).png'], 5, ['a', 'b']],
    [['set/a/~x.png', 'set/a~/1.png', 'set/b c/1.png', 'set/ä/1.png', ...many], 34, ['a', 'a~', 'b c', 'ä']],
    [['set/.DS_Store', 'set/a/.DS_Store', 'set/a/1.png', 'set/__MACOSX/a/1.png', 'set/a/._1.png', 'set/read me.txt'], 1, ['a']],
  ];
  for (const [keys, samples, classes] of names) {
    const bucket = `foreign-${counter++}`;
    await client.makeBucket(bucket);
    for (const key of keys) await client.putObject(bucket, key, key.endsWith('/') ? Buffer.alloc(0) : image);
    const uri = `s3://${bucket}/set?endpoint=${minio.endpoint}`;
    const store = countedStore(await openStore(uri, { env, probe: false, foreignKeys: true }));
    const dataset = await indexInStore(store, { signal: new AbortController().signal });
    assert.deepEqual([dataset.samples, dataset.classes], [samples, classes]);
    assert.deepEqual([store.counts.heads, store.counts.ranges], [0, samples], 'the listing tells sizes and times');
    await store.close();
    const manifests = await DirectoryStore.open(newFolder());
    await saveManifest(manifests, dataset, 'default');
    const sources = await DataSources.open({ store: manifests, roots: await AllowedRoots.open([base]), stores: [uri], env });
    const manifest = new Manifest(dataset.bytes, dataset.sha256);
    const reader = new DatasetReader(manifest, await sources.find('default', manifest));
    for (const { bytes } of await reader.readAll(
      Array.from({ length: samples }, (_, i) => i),
      { signal: new AbortController().signal },
    ))
      assert.equal(Buffer.compare(bytes, image), 0);
    await reader.close();
    await sources.close();
  }
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});

test('a bucket of this machine is reached directly, whatever proxies the environment names', async (t) => {
  if ('skip' in minio) return t.skip(minio.skip);
  const names = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'NODE_USE_ENV_PROXY'];
  const uri = await minio.createBucket(`direct-${counter++}`);
  for (const name of names) process.env[name] = name === 'NODE_USE_ENV_PROXY' ? '1' : 'http://127.0.0.1:9';
  try {
    const store = await openStore(uri, { env: { ...process.env, ...minio.env } });
    await store.put('x', Buffer.from('y'));
    assert.equal((await store.get('x')).bytes.toString(), 'y');
    await store.close();
  } finally {
    for (const name of names) delete process.env[name];
  }
});

test('a data set that moved, was copied or was changed in place is read where the newest index says', async () => {
  for (const kind of ['moved', 'copied and removed', 'copied and damaged'] as const) {
    const [one, two] = [join(newFolder(), 'one'), join(newFolder(), 'two')];
    writeImageFolder(one);
    const roots = await AllowedRoots.open([base]);
    const store = await DirectoryStore.open(newFolder());
    const first = await indexDataset(roots, one);
    await saveManifest(store, first, 'default');
    const sources = await DataSources.open({ store, roots });
    const manifest = new Manifest(first.bytes, first.sha256);
    const reader = new DatasetReader(manifest, await sources.find('default', manifest));
    const before = (await reader.read(3)).bytes;
    if (kind === 'moved') renameSync(one, two);
    else cpSync(one, two, { recursive: true });
    if (kind === 'copied and removed') rmSync(one, { recursive: true });
    if (kind === 'copied and damaged') writeFileSync(join(one, manifest.path(3)), Buffer.alloc(before.byteLength, 7));
    if (kind === 'moved') await assert.rejects(reader.read(3), DataLoss, 'until it is indexed again');
    const second = await indexDataset(roots, two);
    assert.equal(second.sha256, first.sha256);
    await saveManifest(store, second, 'default');
    const samples = Array.from({ length: manifest.samples }, (_, i) => i);
    const all = await reader.readAll(samples);
    assert.equal(Buffer.compare(all[3]!.bytes, before), 0, kind);
    await reader.close();
    await sources.close();
  }
});
