import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeManifest, InvalidManifest, isInnerPath, Manifest, type ManifestEntry } from './manifest.js';

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

test('a manifest reads back as it was written', () => {
  for (const dataset of [folder, records]) {
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

test('damaged manifests are refused, never misread', () => {
  for (const { bytes } of [encodeManifest(folder), encodeManifest(records)]) {
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
  for (const path of ['../x.jpg', 'a/../../x.jpg', '/etc/passwd', 'a//b', './a', 'a/.', 'a\\b', 'a\0b', '']) {
    if (path === '') continue;
    const { bytes } = encodeManifest({ ...folder, entries: [entry(path, 0)] });
    assert.throws(() => new Manifest(bytes, '').path(0), InvalidManifest, path);
    const record = encodeManifest({ ...records, entries: [entry(path, 0)] });
    assert.throws(() => new Manifest(record.bytes, ''), InvalidManifest, path);
  }
});
