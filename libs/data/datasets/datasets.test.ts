import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { DataLoss, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied } from '#errors/errors.js';
import { DirectoryStore } from '#storage/directory-store.js';
import { idxBytes, patternBytes, writeCifar, writeIdx, writeImageFolder } from '../../../test/support/sample-datasets.js';
import { Manifest } from '../manifest/manifest.js';
import { findDataset, loadManifest, saveManifest } from '../manifest/manifest-store.js';
import { AllowedRoots } from './allowed-roots.js';
import { CIFAR, cifarLabels, InvalidCifar } from './cifar.js';
import { DatasetReader } from './dataset-reader.js';
import { FolderSource } from './folder-source.js';
import { InvalidIdx, idxImages, idxLabels } from './idx.js';
import { type IndexOptions, indexDataset } from './index-dataset.js';
import { indexImageFolder } from './index-image-folder.js';
import { IndexMemory } from './index-memory.js';
import { LocalTree } from './local-tree.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-data-'));
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
  return { dataset, manifest, roots, reader: new DatasetReader(manifest, new FolderSource(manifest, dataset.folder, roots)) };
}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('an image folder: classes by name, files by name, sizes and hashes of the files', async () => {
  const folder = newFolder();
  const paths = writeImageFolder(join(folder, 'train'), { classes: ['zebra', 'Ant', 'ant'] });
  writeImageFolder(join(folder, 'val'), { classes: ['zebra', 'Ant', 'ant'], perClass: 1 });
  mkdirSync(join(folder, 'train', 'ant', 'more'));
  renameSync(join(folder, 'train', 'ant', '3.png'), join(folder, 'train', 'ant', 'more', '3.PNG'));
  writeFileSync(join(folder, 'train', 'ant', 'notes.txt'), 'no image');
  writeFileSync(join(folder, 'train', 'ant', 'broken.jpg'), 'no image');
  const reports: [number, number][] = [];
  const { dataset, manifest, reader } = await indexed(folder, {
    split: 'train',
    maxUndecodable: 0.1,
    onProgress: (...report) => reports.push(report),
  });
  await assert.rejects(indexed(folder, { split: 'train' }), /at most 0 of 13 images cannot be read; 1 cannot.*ant\/broken\.jpg/);
  assert.deepEqual([dataset.kind, dataset.samples, dataset.ignored, manifest.split], ['image_folder', 12, 1, 'train']);
  assert.deepEqual(manifest.classes, ['Ant', 'ant', 'zebra']);
  assert.deepEqual(
    dataset.skipped.map(({ path }) => path),
    ['ant/broken.jpg'],
  );
  const found = Array.from({ length: 12 }, (_, i) => manifest.path(i));
  assert.deepEqual(found.slice(4, 8), ['ant/0.png', 'ant/1.png', 'ant/2.png', 'ant/more/3.PNG']);
  assert.deepEqual([...found].sort(), [...paths.filter((path) => path !== 'ant/3.png'), 'ant/more/3.PNG'].sort());
  assert.deepEqual(reports.at(-1), [13, 13]);
  const file = readFileSync(join(folder, 'train', found[5]!));
  assert.equal(Buffer.from(manifest.hash(5)).toString('hex'), sha256(file));
  const source = await reader.read(5);
  assert.deepEqual([source.format, source.width, source.height], ['png', 43, 44]);
  assert.ok(file.equals(source.bytes));
  assert.equal((await indexed(folder, { split: 'test' })).manifest.samples, 3);
  assert.equal((await indexed(join(folder, 'train'), { maxUndecodable: 0.1 })).manifest.samples, 12);
  await assert.rejects(indexed(folder, { split: 'other' }), InvalidArgument);
});

test('CIFAR-10 and CIFAR-100: planes become interleaved, the fine label counts', async () => {
  for (const kind of ['cifar10', 'cifar100'] as const) {
    const folder = newFolder();
    writeCifar(join(folder, CIFAR[kind].folder), kind);
    const { manifest, reader } = await indexed(folder, { split: 'train' });
    assert.deepEqual([manifest.kind, manifest.samples, manifest.classes.length], kind === 'cifar10' ? [kind, 30, 10] : [kind, 6, 100]);
    const sample = kind === 'cifar10' ? 13 : 4; // record 1 of file 2, record 4 of file 0
    const planes = patternBytes(3072, kind === 'cifar10' ? 2001 : 4);
    const { format, bytes, width, height } = await reader.read(sample);
    assert.deepEqual([format, width, height, bytes.length], ['rgb', 32, 32, 3072]);
    for (const p of [0, 1, 500, 1023])
      assert.deepEqual([...bytes.subarray(3 * p, 3 * p + 3)], [planes[p], planes[1024 + p], planes[2048 + p]]);
    assert.equal(manifest.labels[sample], kind === 'cifar10' ? 3 : 4);
    assert.equal((await indexed(folder, { split: 'val' })).manifest.samples, 6);
    await reader.close();
  }
});

test('IDX: plain and packed files hold the same records; class names from classes.txt', async () => {
  const [plain, packed, color] = [newFolder(), newFolder(), newFolder()];
  writeIdx(plain);
  writeIdx(plain, { prefix: 't10k', count: 3 });
  writeIdx(packed, { gz: true });
  writeIdx(color, { channels: 3, side: 9 });
  writeFileSync(join(packed, 'classes.txt'), 'a\nb\nc\nd\ne\n');
  const [one, two, three] = [await indexed(plain), await indexed(packed), await indexed(color)];
  assert.deepEqual([one.manifest.kind, one.manifest.samples, one.manifest.classes], ['idx', 20, ['0', '1', '2', '3', '4']]);
  assert.deepEqual(two.manifest.classes, ['a', 'b', 'c', 'd', 'e']);
  for (const { reader } of [one, two]) {
    const source = await reader.read(7);
    assert.deepEqual([source.format, source.width, source.height], ['gray', 28, 28]);
    assert.ok(Buffer.from(patternBytes(784, 7)).equals(source.bytes));
    await reader.close();
  }
  assert.deepEqual([(await three.reader.read(2)).format, three.manifest.widths[2]], ['rgb', 9]);
  assert.equal((await indexed(plain, { split: 'test' })).manifest.samples, 3);
  await assert.rejects(indexed(packed, { split: 'val' }), /t10k or test/);
});

test('the same bytes have the same manifest wherever they lie', async () => {
  const [one, two] = [newFolder(), newFolder()];
  writeImageFolder(one);
  writeImageFolder(two);
  assert.equal((await indexed(one)).dataset.sha256, (await indexed(two)).dataset.sha256);
  appendFileSync(join(two, 'ant', '0.png'), ' ');
  assert.notEqual((await indexed(one)).dataset.sha256, (await indexed(two)).dataset.sha256);
});

test('bytes that changed or are gone are DATA_LOSS, by name', async () => {
  const [images, idx] = [newFolder(), newFolder()];
  writeImageFolder(images);
  writeIdx(idx);
  const { reader } = await indexed(images);
  const path = join(images, 'ant', '0.png');
  const bytes = readFileSync(path);
  bytes[bytes.length - 20]! ^= 1;
  writeFileSync(path, bytes);
  await assert.rejects(reader.read(0), (error) => error instanceof DataLoss && error.what === 'sample ant/0.png');
  appendFileSync(path, 'x');
  await assert.rejects(reader.read(0), DataLoss);
  rmSync(path);
  await assert.rejects(reader.read(0), DataLoss);
  await reader.read(1);
  const records = await indexed(idx);
  const file = join(idx, 'train-images-idx3-ubyte');
  const changed = readFileSync(file);
  changed[16 + 3 * 784]! ^= 1;
  writeFileSync(file, changed);
  await assert.rejects(records.reader.read(3), (error) => error instanceof DataLoss && error.what === 'sample train-images-idx3-ubyte#3');
  await records.reader.read(4);
  await records.reader.close();
  rmSync(file);
  await assert.rejects(records.reader.read(4), DataLoss);
});

test('nothing outside the roots is read, not by a path and not by a link', async () => {
  const [root, other] = [newFolder(), newFolder()];
  writeImageFolder(other);
  writeImageFolder(join(root, 'set'));
  const roots = await AllowedRoots.open([root]);
  await assert.rejects(indexDataset(roots, other), PermissionDenied);
  await assert.rejects(indexDataset(roots, `${root}/../${other.split('/').at(-1)}`), PermissionDenied);
  await assert.rejects(roots.resolve('/etc/passwd'), PermissionDenied);
  await assert.rejects(roots.resolve('/no/such/file'), PermissionDenied);
  await assert.rejects(roots.resolve(join(root, 'none')), NotFound);
  symlinkSync(other, join(root, 'link'));
  await assert.rejects(indexDataset(roots, 'link'), PermissionDenied);
  assert.equal(await roots.resolve('set'), join(await roots.resolve(root), 'set'));
  // A file exchanged for a link after indexing.
  const dataset = await indexDataset(roots, 'set');
  const manifest = new Manifest(dataset.bytes, dataset.sha256);
  const reader = new DatasetReader(manifest, new FolderSource(manifest, dataset.folder, roots));
  rmSync(join(root, 'set', 'ant', '0.png'));
  symlinkSync(join(other, 'ant', '0.png'), join(root, 'set', 'ant', '0.png'));
  await assert.rejects(reader.read(0), PermissionDenied);
});

test('manifests in a store: found again, moved with their data set, refused when damaged', async () => {
  const folder = newFolder();
  writeImageFolder(join(folder, 'sets', 'birds'));
  const store = await DirectoryStore.open(newFolder());
  const { dataset, manifest, roots } = await indexed(join(folder, 'sets', 'birds'));
  await saveManifest(store, dataset, 'default');
  await saveManifest(store, dataset, 'default'); // again: nothing to do
  const loaded = await loadManifest(store, { project: 'default', sha256: dataset.sha256 });
  assert.deepEqual([loaded.samples, loaded.path(3)], [manifest.samples, manifest.path(3)]);
  await assert.rejects(loadManifest(store, { project: 'other', sha256: dataset.sha256 }), NotFound);
  assert.equal(await findDataset(store, 'default', loaded, roots), dataset.folder);
  const elsewhere = await AllowedRoots.open([newFolder()]);
  await assert.rejects(findDataset(store, 'default', loaded, elsewhere), PermissionDenied);
  writeImageFolder(join(elsewhere.folders[0]!, 'birds'));
  assert.equal(await findDataset(store, 'default', loaded, elsewhere), join(elsewhere.folders[0]!, 'birds'));
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  await assert.rejects(findDataset(store, 'default', loaded, roots), FailedPrecondition);
  await assert.rejects(loadManifest(store, { project: 'default', sha256: '0'.repeat(64) }), NotFound);
  const damaged = Buffer.from(dataset.bytes);
  damaged[damaged.length - 1]! ^= 1;
  await saveManifest(store, { ...dataset, sha256: '1'.repeat(64), bytes: damaged }, 'default');
  await assert.rejects(loadManifest(store, { project: 'default', sha256: '1'.repeat(64) }), DataLoss);
  await store.close();
});

test('files that have not changed are not read again; a stopped index goes on where it was', async () => {
  const [folder, memory] = [newFolder(), newFolder()];
  const classes = ['ant', 'bee', 'cat', 'dog'];
  writeImageFolder(folder, { classes, perClass: 30 });
  await delay(1100); // what changed within the last second is not trusted
  const stop = new AbortController();
  const onProgress = (done: number) => done >= 20 && stop.abort(new Error('enough'));
  const plain = await indexed(folder);
  assert.equal(plain.dataset.unchanged, 0);
  const options = { memory: await IndexMemory.open(memory, folder), signal: stop.signal, onProgress };
  await assert.rejects(indexImageFolder(new LocalTree(folder), options), /enough/);
  const resumed = await indexed(folder, { memory });
  assert.ok(resumed.dataset.unchanged >= 20 && resumed.dataset.unchanged < 120, `${resumed.dataset.unchanged} known`);
  assert.equal(resumed.dataset.sha256, plain.dataset.sha256);
  assert.equal((await indexed(folder, { memory })).dataset.unchanged, 120);
  // Another image of the same size under the same name, and its old time: known by the time of the entry.
  const changed = join(folder, 'bee', '3.png');
  const { atime, mtime } = statSync(changed);
  const bytes = readFileSync(changed);
  bytes[bytes.length - 20]! ^= 1;
  writeFileSync(changed, bytes);
  utimesSync(changed, atime, mtime);
  rmSync(join(folder, 'dog', '0.png'));
  const again = await indexed(folder, { memory });
  assert.deepEqual([again.dataset.samples, again.dataset.unchanged], [119, 118]);
  assert.equal(again.dataset.sha256, (await indexed(folder)).dataset.sha256);
  for (const file of readdirSync(memory, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json')))
    writeFileSync(join(memory, file), '{"format": "dropstream.index-memory.v1", "facts": [["bee/3.png", 1]]}');
  const forgotten = await indexed(folder, { memory });
  assert.deepEqual([forgotten.dataset.unchanged, forgotten.dataset.sha256], [0, again.dataset.sha256]);
});

test('an index stops with its signal', async () => {
  const folder = newFolder();
  writeImageFolder(folder);
  await assert.rejects(indexed(folder, { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
});

test('folders that are no data set say what is missing', async () => {
  const folder = newFolder();
  await assert.rejects(indexed(folder), /one subfolder for each class/);
  mkdirSync(join(folder, 'a'));
  await assert.rejects(indexed(folder), /image files/);
  await assert.rejects(indexed(folder, { kind: 'cifar10' }), /data_batch_1/);
  await assert.rejects(indexed(folder, { split: 'train' }), /one of train, training in it/);
  writeIdx(folder);
  writeFileSync(join(folder, 'train-labels-idx1-ubyte'), idxBytes([19], new Uint8Array(19)));
  await assert.rejects(indexed(folder), /as many labels as images/);
  writeFileSync(join(folder, 'train-images-idx3-ubyte'), 'text');
  await assert.rejects(indexed(folder), /train-images-idx3-ubyte.*whole file/);
  for (const [text, reason] of [
    ['', /it is empty/],
    ['version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n', /git-lfs pointer/],
    ['<html><body>403 Forbidden</body></html>', /an HTML or XML page/],
  ] as const) {
    for (const [write, name] of [
      [writeIdx, 'train-images-idx3-ubyte'],
      [(path: string) => writeIdx(path, { gz: true }), 'train-labels-idx1-ubyte.gz'],
      [(path: string) => writeCifar(path, 'cifar10'), 'data_batch_3.bin'],
    ] as const) {
      const broken = newFolder();
      write(broken);
      writeFileSync(join(broken, name), text);
      await assert.rejects(
        indexed(broken),
        (error) => error instanceof InvalidArgument && error.message.includes(name) && reason.test(error.message),
      );
    }
  }
});

test('IDX and CIFAR parsers take whole files or refuse', () => {
  const refuses = (error: unknown) => assert.ok(error instanceof InvalidIdx || error instanceof InvalidCifar, String(error));
  const whole = idxBytes([2, 3, 4], new Uint8Array(24));
  assert.deepEqual(idxImages(whole).layout, { headerBytes: 16, recordBytes: 12, pixelOffset: 0, pixels: 'gray' });
  assert.deepEqual([...idxLabels(idxBytes([3], Uint8Array.of(1, 2, 3)))], [1, 2, 3]);
  for (let length = 0; length < whole.length; length++) assert.throws(() => idxImages(whole.subarray(0, length)), InvalidIdx);
  const parsers = [
    idxImages,
    idxLabels,
    (bytes: Uint8Array) => cifarLabels(bytes, 'cifar10'),
    (bytes: Uint8Array) => cifarLabels(bytes, 'cifar100'),
  ];
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 64 }),
        fc.uint8Array({ minLength: 20, maxLength: 40 }).map((b) => Uint8Array.of(0, 0, 8, 1 + (b[0]! % 4), 0, 0, 0, ...b)),
      ),
      (bytes) => {
        for (const parse of parsers) {
          try {
            parse(bytes);
          } catch (error) {
            refuses(error);
          }
        }
      },
    ),
    { numRuns: 2000 },
  );
  assert.throws(() => cifarLabels(new Uint8Array(3073).fill(10), 'cifar10'), InvalidCifar);
  assert.throws(() => cifarLabels(new Uint8Array(3072), 'cifar10'), InvalidCifar);
});
