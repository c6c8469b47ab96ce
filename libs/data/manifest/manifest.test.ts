import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeManifest } from '../../../test/support/encode-manifest.js';
import { Manifest } from './manifest.js';
import { ManifestBuilder, type ManifestEntry } from './manifest-builder.js';
import { InvalidManifest, isInnerPath } from './manifest-header.js';

const entry = (path: string, label: number, record = 0, byteLength = 10): ManifestEntry => ({
  path,
  record,
  label,
  width: 5,
  height: 7,
  byteLength,
  sha256: createHash('sha256').update(`${path}#${record}`).digest(),
});

const folder = {
  kind: 'image_folder' as const,
  split: 'train',
  classes: ['cat', 'dög'],
  entries: [entry('cat/1.jpg', 0), entry('dög/ä b.png', 1)],
};
const layout = { headerBytes: 16, recordBytes: 10, pixelOffset: 0, pixels: 'gray' as const };
const records = {
  kind: 'idx' as const,
  split: '',
  classes: ['0'],
  layout,
  entries: [entry('a.gz', 0, 4), entry('b', 0, 2), entry('a.gz', 0, 0)],
};
const shard = { sizeBytes: 512 * 12, sha256: 'ab'.repeat(32) };
const tar = {
  kind: 'tar' as const,
  split: 'val',
  classes: ['x', 'y'],
  shards: new Map([
    ['0.tar', shard],
    ['1.tar', { sizeBytes: 512 * 5, sha256: 'cd'.repeat(32) }],
  ]),
  entries: [entry('0.tar', 0, 1, 300), entry('0.tar', 1, 4, 600), entry('1.tar', 1, 1, 512)],
};

test('a manifest reads back as it was written', () => {
  for (const dataset of [folder, records, tar]) {
    const { bytes, sha256 } = encodeManifest(dataset);
    const manifest = new Manifest(bytes, sha256);
    assert.deepEqual(
      [manifest.kind, manifest.split, manifest.classes, manifest.samples],
      [dataset.kind, dataset.split, dataset.classes, dataset.entries.length],
    );
    dataset.entries.forEach((expected, i) => {
      const { path, record, label, width, height, byteLength, sha256: hash } = expected;
      assert.deepEqual(
        [manifest.path(i), manifest.record(i), manifest.labels[i], manifest.widths[i], manifest.heights[i], manifest.byteLengths[i]],
        [path, record, label, width, height, byteLength],
      );
      assert.deepEqual(Buffer.from(manifest.hash(i)), Buffer.from(hash));
    });
  }
  assert.deepEqual(new Manifest(encodeManifest(folder).bytes, '').classCounts(), [1, 1]);
});

test('shards are pinned by size and hash, and hold their samples', () => {
  const manifest = new Manifest(encodeManifest(tar).bytes, '');
  assert.deepEqual([manifest.fileOf(1), manifest.fileOf(2), manifest.shard(0)], [0, 1, { path: '0.tar', ...shard }]);
  assert.equal(manifest.name(1), '0.tar@2048');
  const { bytes } = encodeManifest({ ...tar, entries: [entry('0.tar', 0, 11, 513)] });
  assert.throws(() => new Manifest(bytes, ''), /ends at byte 6145, after the end of its shard/);
});

test('equal data sets have equal manifests; any change gives another name', () => {
  const name = (entries: ManifestEntry[]) => encodeManifest({ ...folder, entries }).sha256;
  assert.equal(name(folder.entries), encodeManifest(folder).sha256);
  assert.notEqual(name([folder.entries[1]!, folder.entries[0]!]), encodeManifest(folder).sha256);
  assert.notEqual(name([{ ...folder.entries[0]!, label: 1 }, folder.entries[1]!]), encodeManifest(folder).sha256);
});

test('a sample of an ImageNet-like folder takes less than 200 bytes', () => {
  const entries = Array.from({ length: 1000 }, (_, i) => entry(`n01440764/n01440764_${10000 + i}.JPEG`, i % 2));
  assert.ok(encodeManifest({ ...folder, entries }).bytes.byteLength / 1000 < 110);
});

test('1.3 million samples are read as columns, take under 200 bytes each, and are checked without blocking the event loop', async () => {
  const n = 1_300_000;
  const builder = new ManifestBuilder(true);
  const sha256 = Uint8Array.from({ length: 32 }, (_, i) => i);
  const classes = Array.from({ length: 1000 }, (_, k) => `n${10_000_000 + k}`);
  const pathOf = (i: number) => `${classes[Math.floor(i / 1300)]}/${classes[Math.floor(i / 1300)]}_${i % 1300}.JPEG`;
  for (let i = 0; i < n; i++)
    builder.add({ path: pathOf(i), record: 0, label: Math.floor(i / 1300), width: 500, height: 375, byteLength: 110_000, sha256 });
  const bytes = builder.bytes({ kind: 'image_folder', split: 'train', classes });
  assert.ok(bytes.byteLength / n < 100, `${bytes.byteLength / n} bytes a sample`);
  let turns = 0;
  const counting = setInterval(() => turns++, 0);
  const held = process.memoryUsage();
  const manifest = await Manifest.read(bytes, '');
  clearInterval(counting);
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  assert.ok(turns > 2, 'others had their turn');
  assert.ok((heapUsed - held.heapUsed + Math.max(0, arrayBuffers - held.arrayBuffers)) / n < 100, 'nothing is kept for each sample');
  assert.equal(manifest.labels.buffer, bytes.buffer);
  for (const i of [0, 1, 1299, 1300, 777_777, n - 1])
    assert.deepEqual([manifest.path(i), manifest.labels[i]], [pathOf(i), Math.floor(i / 1300)]);
  const damaged = bytes.slice();
  new DataView(damaged.buffer).setUint32(manifest.labels.byteOffset + 4 * (n - 1), 1000, true);
  await assert.rejects(Manifest.read(damaged, ''), InvalidManifest);
  await assert.rejects(Manifest.read(bytes, '', AbortSignal.abort(new Error('enough'))), /enough/);
});

test('damaged manifests are rejected, never misread', () => {
  for (const { bytes } of [encodeManifest(folder), encodeManifest(records), encodeManifest(tar)]) {
    const reads = (input: Uint8Array) => {
      try {
        const manifest = new Manifest(input, '');
        for (let i = 0; i < manifest.samples; i++)
          assert.ok(isInnerPath(manifest.path(i)) && manifest.labels[i]! < manifest.classes.length);
      } catch (error) {
        assert.ok(error instanceof InvalidManifest, String(error));
      }
    };
    for (let length = 0; length < bytes.byteLength; length++)
      assert.throws(() => new Manifest(bytes.slice(0, length), ''), InvalidManifest);
    assert.throws(() => new Manifest(Buffer.concat([bytes, Buffer.alloc(1)]), ''), InvalidManifest);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(bytes.byteLength - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }), (changes) => {
        const damaged = bytes.slice();
        for (const [at, value] of changes) damaged[at] = value;
        reads(damaged);
      }),
      { numRuns: 1000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), reads), { numRuns: 200 });
  }
});

test('paths that leave the data set are refused', () => {
  for (const path of ['../x.jpg', 'a/../../x.jpg', '/etc/passwd', '//a', 'a/', 'a//../b', './a', 'a/.', 'a\\b', 'a\0b', '']) {
    if (path === '') continue;
    const { bytes } = encodeManifest({ ...folder, entries: [entry(path, 0)] });
    assert.throws(() => new Manifest(bytes, '').path(0), InvalidManifest, path);
    const record = encodeManifest({ ...records, entries: [entry(path, 0)] });
    assert.throws(() => new Manifest(record.bytes, ''), InvalidManifest, path);
  }
  for (const path of ['a//b.jpg', 'a///b/c.jpg', 'a', '...', '.a/b.', 'ü'])
    assert.equal(new Manifest(encodeManifest({ ...folder, entries: [entry(path, 0)] }).bytes, '').path(0), path, 'keys of objects');
});
