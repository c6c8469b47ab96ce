/** Tar shards as people make them: members in any order, joined, with sidecars, with dots, with halves missing. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { encodePng } from '#native/pixels.js';
import { patternBytes } from '../../../test/support/sample-datasets.js';
import { sealed, type TarFile, tarBytes } from '../../../test/support/tar-writer.js';
import { Manifest } from '../manifest/manifest.js';
import { AllowedRoots } from './allowed-roots.js';
import { DatasetReader } from './dataset-reader.js';
import { FolderSource } from './folder-source.js';
import { type IndexOptions, indexDataset } from './index-dataset.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-read-shard-'));
after(() => rmSync(base, { recursive: true, force: true }));
let counter = 0;
const png = (key: number) => encodePng(patternBytes(3 * 20 * 10, key), 20, 10, 'hwc');
const image = (name: string, key: number): TarFile => ({ name, bytes: png(key) });
const label = (name: string, value: number): TarFile => ({ name, bytes: Buffer.from(String(value)) });

async function index(shards: Record<string, Buffer>, options: IndexOptions = {}) {
  const folder = join(base, `set${counter++}`);
  mkdirSync(folder);
  for (const [name, bytes] of Object.entries(shards)) writeFileSync(join(folder, name), bytes);
  const roots = await AllowedRoots.open([base]);
  const dataset = await indexDataset(roots, folder, options);
  const manifest = new Manifest(dataset.bytes, dataset.sha256);
  return { dataset, manifest, reader: new DatasetReader(manifest, new FolderSource(manifest, dataset.folder, roots)) };
}
const count = 6;
const names = Array.from({ length: count }, (_, i) => `train/${String(i).padStart(4, '0')}`);
const images = names.map((name, i) => image(`${name}.png`, i));
const labels = names.map((name, i) => label(`${name}.cls`, i % 3));

test('the members of a sample are brought together wherever they lie in the shard', async () => {
  const orders: Record<string, TarFile[]> = {
    'images, then labels': [...images, ...labels],
    'labels, then images': [...labels, ...images],
    'images backwards': [...labels, ...[...images].reverse()].reverse(),
    'labels backwards': [...images, ...[...labels].reverse()],
  };
  for (const [title, files] of Object.entries(orders)) {
    const { manifest, reader, dataset } = await index({ 'a.tar': tarBytes(files) });
    assert.deepEqual([dataset.classes, dataset.skipped, dataset.samples], [['0', '1', '2'], [], count], title);
    for (let i = 0; i < count; i++) {
      const { bytes } = await reader.read(i);
      const key = images.findIndex((file) => Buffer.compare(file.bytes!, bytes) === 0);
      assert.equal(manifest.labels[i], key % 3, title);
    }
    await reader.close();
  }
});

test('labels and images whose names do not meet: an error that names both groups, never folders as classes', async () => {
  const elsewhere = names.map((_, i) => label(`labels/${i}.cls`, i % 3));
  await assert.rejects(
    index({ 'a.tar': tarBytes([...images, ...elsewhere]) }),
    /6 images without a label \(in train\) and 6 labels without an image \(a\.tar: labels\/0/,
  );
  await assert.rejects(
    index({ 'a.tar': tarBytes(images), 'b.tar': tarBytes(labels) }),
    /6 images without a label.*6 labels without an image/,
  );
  const flat = (files: TarFile[]) => tarBytes(files.map((file) => ({ ...file, name: file.name.replace('train/', '') })));
  await assert.rejects(
    index({ 'a.tar': flat(images), 'b.tar': flat(labels) }),
    /6 images without a label \(a\.tar: 0000, .*\) and 6 labels without an image \(b\.tar: 0000, /,
  );
  await assert.rejects(index({ 'a.tar': tarBytes([...images, ...labels.slice(1)]) }), /1 cannot.*it has no \.cls/);
  await assert.rejects(index({ 'a.tar': tarBytes([...images.slice(1), ...labels]) }), /a\.tar: train\/0000: it has a label and no image/);
});

test('sidecars of macOS are passed over', async () => {
  const sidecars = ['train/._0000.png', '._train', '__MACOSX/train/0000.png', '__MACOSX/._x.cls', '.DS_Store'].map((name) =>
    image(name, 90),
  );
  const { dataset } = await index({ 'a.tar': tarBytes([...sidecars, ...images, ...labels]) });
  assert.deepEqual([dataset.samples, dataset.skipped, dataset.classes], [count, [], ['0', '1', '2']]);
});

test('joined archives are read to the end, with equal names in each too', async () => {
  const part = (from: number, to: number) => tarBytes([...images.slice(from, to), ...labels.slice(from, to)]);
  const apart = await index({ 'a.tar': Buffer.concat([part(0, 3), part(3, 6)]) });
  const three = await index({ 'a.tar': Buffer.concat([part(0, 2), Buffer.alloc(10_240), part(2, 4), part(4, 6)]) });
  for (const { dataset, reader } of [apart, three]) {
    assert.equal(dataset.samples, count);
    assert.ok(Buffer.from((await reader.read(5)).bytes).equals(images[5]!.bytes!));
    await reader.close();
  }
  const halves = await index({ 'a.tar': Buffer.concat([tarBytes(images), tarBytes(labels)]) });
  assert.deepEqual([...halves.manifest.labels], [0, 1, 2, 0, 1, 2]);
  const twice = await index({ 'a.tar': Buffer.concat([part(0, 3), part(0, 3)]) });
  assert.deepEqual([...twice.manifest.labels], [0, 1, 2, 0, 1, 2]);
  await assert.rejects(index({ 'a.tar': Buffer.concat([part(0, 3), Buffer.alloc(512, 7), part(3, 6)]) }), /are no archive/);
});

test('names with more dots, links and doubles are refused by name', async () => {
  const dotted = [image('a.0001.png', 1), label('a.0001.cls', 0), image('b.v2.jpg', 2), label('b.v2.cls', 1)];
  await assert.rejects(
    index({ 'a.tar': tarBytes([...images, ...labels, ...dotted]) }),
    /a\.tar: a: its files have more dots.*a\.tar: b: /s,
  );
  const pictures = await index({ 'a.tar': tarBytes([...images, ...labels, image('train/0000.seg.png', 7)]) });
  assert.equal(pictures.dataset.samples, count, 'a second picture of a sample');
  const link = [...images, ...labels, { name: 'train/x.png', type: '1' }, label('train/x.cls', 0)];
  await assert.rejects(index({ 'a.tar': tarBytes(link) }), /train\/x: its image is a link in the archive/);
  await assert.rejects(index({ 'a.tar': tarBytes([...images, ...labels, images[2]!]) }), /train\/0002: it has two images/);
});

test('compressed archives are refused with what to do; beside their unpacked form they are nothing', async () => {
  const bytes = tarBytes([...images, ...labels]);
  for (const name of ['a.tar.gz', 'a.tgz', 'a.tar.zst']) await assert.rejects(index({ [name]: gzipSync(bytes) }), /unpack a\./, name);
  await assert.rejects(index({ 'a.tar': bytes, 'b.tar.gz': gzipSync(bytes) }), /unpack b\.tar\.gz/);
  assert.equal((await index({ 'a.tar': bytes, 'a.tar.gz': gzipSync(bytes) })).dataset.samples, count);
  await assert.rejects(index({ 'a.tar': gzipSync(bytes) }), /gzip/);
});

test('archives of several parts of a data set are refused, however their labels are given and wherever the parts lie', async () => {
  const moved = (files: TarFile[], from: string, to: string) => files.map((file) => ({ ...file, name: file.name.replace(from, to) }));
  const samples = [...images, ...labels];
  const refused = /tar shards of one part of a data set; these have the parts (\w+) and (\w+)/;
  await assert.rejects(index({ 'a.tar': tarBytes([...samples, ...moved(samples, 'train/', 'val/')]) }), refused);
  await assert.rejects(index({ 'a.tar': tarBytes(samples), 'b.tar': tarBytes(moved(samples, 'train/', 'Test/')) }), refused);
  const inFolders = (part: string) => [0, 1].flatMap((k) => ['ant', 'bee'].map((name) => image(`set/${part}/${name}/${k}.png`, k)));
  await assert.rejects(index({ 'a.tar': tarBytes([...inFolders('train'), ...inFolders('valid')]) }), /train and valid in set: pack each/);
  assert.deepEqual((await index({ 'a.tar': tarBytes(inFolders('train')) })).dataset.classes, ['ant', 'bee']);
  const classesOfThatName = [image('bus/1.png', 1), image('train/1.png', 2), image('tram/1.png', 3)];
  assert.deepEqual((await index({ 'a.tar': tarBytes(classesOfThatName) })).dataset.classes, ['bus', 'train', 'tram']);
});

test('the names of shards tell parts in every usual form', async () => {
  const some = (k: number) => tarBytes([images[k]!, labels[k]!]);
  const samples = async (names: string[], split = '') =>
    (await index(Object.fromEntries(names.map((name, k) => [name, some(k)])), { split })).dataset.samples;
  for (const [train, val] of [
    ['set-train-0.tar', 'set-val-0.tar'],
    ['training_0.tar', 'validation_0.tar'],
    ['Train.tar', 'TEST.tar'],
    ['train2017-0.tar', 'val2017-0.tar'],
    ['shard-0.tar', 'dev-0.tar'],
    ['imagenet_train_0.tar', 'imagenet_testing_0.tar'],
  ] as const) {
    assert.deepEqual([await samples([train, val]), await samples([train, val], 'val')], [1, 1], `${train} ${val}`);
    assert.equal(await samples([val]), 1, 'a folder of one part');
  }
  assert.equal(await samples(['contest-0.tar', 'latest-1.tar', 'strain-2.tar']), 3);
});

test('what is no archive is called what it is, and a shard without samples is told of', async () => {
  const whole = tarBytes([...images, ...labels]);
  const bad: readonly (readonly [Buffer, RegExp])[] = [
    [Buffer.alloc(0), /b\.tar.*it is empty/],
    [Buffer.from('<!DOCTYPE html><html>403</html>'), /b\.tar.*an HTML or XML page/],
    [Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n'), /b\.tar.*git-lfs pointer/],
    [Buffer.from('504b030414000000', 'hex'), /b\.tar.*a zip file: unpack it/],
    [Buffer.from('fd377a585a000004', 'hex'), /b\.tar.*an xz file/],
    [Buffer.from('28b52ffd04580000', 'hex'), /b\.tar.*a Zstandard file/],
    [Buffer.from('425a683931415926', 'hex'), /b\.tar.*a bzip2 file/],
    [gzipSync(whole), /b\.tar.*a gzip file/],
    [whole.subarray(0, 520), /b\.tar.*more than are left/],
    [whole.subarray(0, 200), /b\.tar.*ends inside the header/],
  ];
  for (const [bytes, reason] of bad) await assert.rejects(index({ 'a.tar': whole, 'b.tar': bytes }), reason);
  const { dataset } = await index({ 'a.tar': whole, 'b.tar': tarBytes([]), 'c.tar': tarBytes([{ name: 'readme.txt' }]) });
  assert.deepEqual(dataset.warnings, ['The shard b.tar has no samples.', 'The shard c.tar has no samples.']);
  // Cut between two samples: no member is missing a part.
  const pairs = names.flatMap((_, i) => [images[i]!, labels[i]!]);
  const cut = await index({ 'a.tar': tarBytes(pairs).subarray(0, tarBytes(pairs.slice(0, 4)).length - 1024) });
  assert.equal(cut.dataset.samples, 2);
  assert.match(cut.dataset.warnings.join(), /The shard a\.tar ends without the zeros that end an archive\. If it was cut/);
  const oneFolder = await index({ 'a.tar': tarBytes([image('all/1.png', 1), image('all/2.png', 2)]) });
  assert.match(oneFolder.dataset.warnings.join(), /All images lie in one folder, all, and none has a label/);
});

/** With the digits of names as single bytes of an old code page. */
function inCodePage(files: TarFile[]): Buffer {
  const bytes = tarBytes(files);
  let at = 0;
  for (const { bytes: content } of files) {
    const block = bytes.subarray(at, at + 512);
    for (let k = 0; k < 100; k++) if (block[k]! >= 0x30 && block[k]! <= 0x39) block[k]! += 0xb0;
    sealed(block);
    at += 512 + 512 * Math.ceil((content?.byteLength ?? 0) / 512);
  }
  return bytes;
}

test('names that are no UTF-8 stay apart, and are no names of classes', async () => {
  const files = [1, 2, 3].flatMap((k) => [image(`a/${k}.png`, k), label(`a/${k}.cls`, k - 1)]);
  const { dataset, manifest } = await index({ 'a.tar': inCodePage(files) });
  assert.deepEqual([dataset.skipped, [...manifest.labels]], [[], [0, 1, 2]]);
  await assert.rejects(index({ 'a.tar': inCodePage([image('1/a.png', 1), image('b/a.png', 2)]) }), /folder names of UTF-8 text/);
});

test('a label far above the number of classes is refused unless the number is given', async () => {
  const far = (value: number) => ({ 'a.tar': tarBytes([...images, ...labels.slice(1), label('train/0000.cls', value)]) });
  await assert.rejects(index(far(10_005)), /at most 10000 above the number of classes that are there \(4\); the largest is 10005/);
  assert.equal((await index(far(10_004))).dataset.classes.length, 10_005);
  assert.equal((await index(far(50_000), { nbClasses: 60_000 })).dataset.classes.length, 50_001);
  await assert.rejects(index(far(50_000), { nbClasses: 1000 }), /below --nb_classes 1000/);
});
