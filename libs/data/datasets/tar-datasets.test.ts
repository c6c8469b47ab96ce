import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { DataLoss, InvalidArgument } from '#errors/errors.js';
import { encodePng } from '#native/pixels.js';
import { patternBytes, writeImageFolder, writeTarShards } from '../../../test/support/sample-datasets.js';
import { type TarFile, tarBytes } from '../../../test/support/tar-writer.js';
import { Manifest } from '../manifest/manifest.js';
import { AllowedRoots } from './allowed-roots.js';
import { DatasetReader } from './dataset-reader.js';
import { FolderSource } from './folder-source.js';
import { type IndexOptions, indexDataset } from './index-dataset.js';
import { ShardSamples } from './shard-samples.js';
import { labelIn, memberOf } from './web-dataset.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-shards-'));
after(() => rmSync(base, { recursive: true, force: true }));
let counter = 0;
const newFolder = () => {
  const folder = join(base, `set${counter++}`);
  mkdirSync(folder);
  return folder;
};
async function indexed(folder: string, options: IndexOptions = {}) {
  const roots = await AllowedRoots.open([base]);
  const dataset = await indexDataset(roots, folder, options);
  const manifest = new Manifest(dataset.bytes, dataset.sha256);
  return { dataset, manifest, reader: new DatasetReader(manifest, new FolderSource(manifest, dataset.folder, roots)) };
}
const png = (key: number, width = 20, height = 10) => encodePng(patternBytes(3 * width * height, key), width, height, 'hwc');
const shard = (folder: string, name: string, files: TarFile[]) => writeFileSync(join(folder, name), tarBytes(files, 'pax'));

test('shards of images with .cls: in order, read at random, pinned by hash', async () => {
  const folder = newFolder();
  const names = writeTarShards(folder, { shards: 3, perShard: 5 });
  const { dataset, manifest, reader } = await indexed(folder);
  assert.deepEqual([dataset.kind, dataset.samples, dataset.classes, dataset.skipped], ['tar', 15, ['0', '1', '2', '3'], []]);
  for (const sample of [14, 0, 7, 7, 3]) {
    const [s, k] = [Math.floor(sample / 5), sample % 5];
    const { format, bytes, width, height } = await reader.read(sample);
    assert.deepEqual(
      [format, width, height, manifest.labels[sample], manifest.path(sample)],
      ['png', 40 + k, 40 + 2 * s, (s + k) % 4, names[s]],
    );
    assert.ok(Buffer.from(bytes).equals(encodePng(patternBytes(3 * width * height, 100 * s + k), width, height, 'hwc')));
  }
  const bytes = readFileSync(join(folder, names[1]!));
  assert.deepEqual(manifest.shard(1), {
    path: names[1],
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  });
  await reader.close();
});

test('labels from .json or folders, with names; what cannot be used is named', async () => {
  const [json, folders, mixed] = [newFolder(), newFolder(), newFolder()];
  shard(json, 'a.tar', [
    { name: 'x/1.json', bytes: Buffer.from('{"label": 2}') },
    { name: 'x/1.jpg', bytes: png(1) },
    { name: 'x/2.png', bytes: png(2) },
    { name: 'x/2.json', bytes: Buffer.from('{"cls": 0, "caption": "y"}') },
    { name: 'x/2.txt', bytes: Buffer.from('y') },
    { name: 'x/3.seg.png', bytes: png(3) },
    { name: 'x/4.png', bytes: Buffer.from('no image') },
    { name: 'x/4.cls', bytes: Buffer.from('1') },
    { name: 'x/5.png', bytes: png(5) },
    { name: 'x/5.cls', bytes: Buffer.from('-1') },
    { name: 'x/6.png', bytes: png(6) },
    { name: 'x/6.jpg', bytes: png(6) },
    { name: 'x/6.cls', bytes: Buffer.from('1') },
    { name: 'x/7.PNG', bytes: png(7) },
    { name: 'x/7.cls', bytes: Buffer.from(' 1\n') },
  ]);
  writeFileSync(join(json, 'classes.txt'), 'cat\ndog\nowl\n');
  const most = { maxUndecodable: 0.9 };
  const one = await indexed(json, most);
  assert.deepEqual([...one.manifest.labels], [2, 0, 1]);
  assert.deepEqual([one.dataset.classes, one.dataset.ignored], [['cat', 'dog', 'owl'], 1]);
  assert.deepEqual(
    one.dataset.skipped.map(({ path }) => path),
    ['a.tar: x/3', 'a.tar: x/4', 'a.tar: x/5', 'a.tar: x/6'],
  );
  assert.match(one.dataset.skipped[2]!.reason, /\.cls says "-1"/);
  shard(folders, '1.tar', [
    { name: './train/wolf/a.png', bytes: png(1) },
    { name: 'ant/b.jpeg', bytes: png(2) },
  ]);
  shard(folders, '0.tar', [
    { name: 'above/bee/c.png', bytes: png(3) },
    { name: 'alone.png', bytes: png(4) },
  ]);
  const two = await indexed(folders, most);
  assert.deepEqual(
    [[...two.manifest.labels], two.dataset.classes],
    [
      [1, 2, 0],
      ['ant', 'bee', 'wolf'],
    ],
  );
  assert.match(two.dataset.skipped[0]!.reason, /no label/);
  shard(mixed, '0.tar', [
    { name: 'a.png', bytes: png(1) },
    { name: 'a.cls', bytes: Buffer.from('0') },
    { name: 'b/b.png', bytes: png(1) },
  ]);
  await assert.rejects(indexed(mixed), /0\.tar@\d+: it has no \.cls and no \.json/);
  writeFileSync(join(mixed, '0.tar'), 'x'.repeat(2000));
  await assert.rejects(indexed(mixed), (error) => error instanceof InvalidArgument && /0\.tar.*checksum/.test(error.message));
});

test('splits by folder or by the names of shards; an archive beside class folders is not the data set', async () => {
  const [byName, byFolder, unpacked] = [newFolder(), newFolder(), newFolder()];
  writeTarShards(byName, { prefix: 'set-train', shards: 2 });
  writeTarShards(byName, { prefix: 'set-val', shards: 1 });
  const samples = async (folder: string, split: string) => (await indexed(folder, { split })).dataset.samples;
  assert.deepEqual([await samples(byName, ''), await samples(byName, 'train'), await samples(byName, 'test')], [10, 10, 5]);
  writeTarShards(join(byFolder, 'train'), { prefix: 'x', shards: 2 });
  writeTarShards(join(byFolder, 'val'), { prefix: 'x', shards: 1 });
  assert.deepEqual([await samples(byFolder, 'train'), await samples(byFolder, 'val')], [10, 5]);
  writeImageFolder(unpacked);
  writeTarShards(unpacked, { shards: 1 });
  assert.equal((await indexed(unpacked)).dataset.kind, 'image_folder');
  assert.equal((await indexed(unpacked, { kind: 'tar' })).dataset.samples, 5);
});

test('unchanged shards are not read again, and changed ones are seen while in use', async () => {
  const [folder, memory] = [newFolder(), newFolder()];
  const names = writeTarShards(folder);
  await delay(1100);
  const first = await indexed(folder, { memory });
  const again = await indexed(folder, { memory });
  assert.deepEqual([first.dataset.unchanged, again.dataset.unchanged], [0, 15]);
  assert.ok(Buffer.from(first.dataset.bytes).equals(again.dataset.bytes));
  writeTarShards(join(folder, 'other'), { shards: 2, size: 41 });
  renameSync(join(folder, 'other', names[1]!), join(folder, names[1]!));
  rmSync(join(folder, 'other'), { recursive: true });
  await assert.rejects(first.reader.read(6), (error) => error instanceof DataLoss && /train-0001\.tar@/.test(error.what));
  await first.reader.read(2);
  const third = await indexed(folder, { memory });
  assert.equal(third.dataset.unchanged, 10);
  await third.reader.read(6);
  // An exchanged shard that was open: what is read goes on to be right.
  writeTarShards(join(folder, 'other'), { shards: 2, size: 42 });
  renameSync(join(folder, 'other', names[1]!), join(folder, names[1]!));
  await third.reader.read(7);
  rmSync(join(folder, names[2]!));
  await assert.rejects(third.reader.read(12), DataLoss);
  await Promise.all([first.reader.close(), third.reader.close()]);
});

test('what a shard is remembered as reads back, and nothing else does', () => {
  const samples = new ShardSamples(5000);
  samples.add(512, 100, { width: 3, height: 4, sha256: new Uint8Array(32).fill(9) }, 'ant');
  samples.add(1536, 200, { width: 5, height: 6, sha256: Buffer.alloc(32, 8) }, 7);
  samples.sha256 = 'a'.repeat(64);
  const json = JSON.parse(JSON.stringify(samples));
  const back = ShardSamples.from(json)!.at(1);
  assert.deepEqual({ ...back, sha256: [...back.sha256] }, { ...samples.at(1), sha256: [...samples.at(1).sha256] });
  assert.deepEqual(samples.at(0), { record: 1, byteLength: 100, width: 3, height: 4, label: 'ant', sha256: new Uint8Array(32).fill(9) });
  const numbers = [...json.numbers.slice(0, 9), 2];
  for (const other of [
    null,
    5,
    {},
    { ...json, numbers },
    { ...json, hashes: '' },
    { ...json, labels: [-1, 2] },
    { ...json, skipped: [1] },
    { ...json, orphans: 3 },
    { ...json, partFolders: [1] },
    { ...json, cut: 0 },
  ])
    assert.equal(ShardSamples.from(other), undefined, JSON.stringify(other));
});

test('keys end at the first dot after the last slash', () => {
  assert.deepEqual(memberOf('a.b/c.d.PNG'), { key: 'a.b/c', kind: 'dotted' });
  assert.deepEqual(memberOf('a.b/c.JPG'), { key: 'a.b/c', kind: 'image' });
  assert.deepEqual(memberOf('readme'), { key: 'readme', kind: 'other' });
  assert.equal(labelIn('json', Buffer.from('{"caption": "x"}')), undefined);
  for (const [kind, text] of [
    ['cls', '1e9'],
    ['cls', '100000'],
    ['json', '{"label": 1.5}'],
    ['json', '[1'],
    ['json', 'null'],
  ] as const)
    assert.throws(() => labelIn(kind, Buffer.from(text)));
});
