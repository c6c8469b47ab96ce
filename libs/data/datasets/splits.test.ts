/** Data sets as people keep them on disk: parts by many names and behind links, sidecars, odd files and odd names. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InvalidArgument, PermissionDenied } from '#errors/errors.js';
import { writeCifar, writeImageFolder, writeTarShards } from '../../../test/support/sample-datasets.js';
import { Manifest } from '../manifest/manifest.js';
import { AllowedRoots } from './allowed-roots.js';
import { type IndexOptions, indexDataset } from './index-dataset.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-splits-'));
const outside = mkdtempSync(join(tmpdir(), 'dropstream-outside-'));
after(() => {
  for (const folder of [base, outside]) rmSync(folder, { recursive: true, force: true });
});
let counter = 0;
const newFolder = (above = base) => {
  const folder = join(above, `set${counter++}`);
  mkdirSync(folder);
  return folder;
};
const index = async (folder: string, options: IndexOptions = {}) => {
  const dataset = await indexDataset(await AllowedRoots.open([base]), folder, options);
  return { ...dataset, manifest: new Manifest(dataset.bytes, dataset.sha256) };
};
const writeParts = (folder: string, train: string, val: string) => {
  writeImageFolder(join(folder, train), { perClass: 4 });
  writeImageFolder(join(folder, val), { perClass: 2 });
};

test('parts of a data set by any of their names, in any letter case, and in the tree of ILSVRC', async () => {
  for (const [train, val, above] of [
    ['train', 'val', ''],
    ['Train', 'Valid', ''],
    ['TRAIN', 'validation', ''],
    ['training', 'Test', ''],
    ['train', 'val', 'ILSVRC/Data/CLS-LOC'],
    ['train', 'val', 'Data/CLS-LOC'],
  ] as const) {
    const folder = newFolder();
    writeParts(join(folder, above), train, val);
    const [one, two] = [await index(folder, { split: 'train' }), await index(folder, { split: 'val' })];
    assert.deepEqual(
      [one.samples, two.samples, one.classes, two.classes],
      [12, 6, ['ant', 'bee', 'cat'], ['ant', 'bee', 'cat']],
      train + val,
    );
  }
  const both = newFolder();
  writeParts(both, 'train', 'test');
  writeImageFolder(join(both, 'val'), { perClass: 1 });
  assert.equal((await index(both, { split: 'test' })).samples, 3, 'val comes before test');
});

test('parts, classes and files behind links are followed inside the roots, and refused at once where they leave them', async () => {
  const [real, links] = [newFolder(), newFolder()];
  writeParts(real, 'train', 'val');
  for (const part of ['train', 'val']) symlinkSync(`../${real.split('/').at(-1)}/${part}`, join(links, part));
  assert.equal((await index(links, { split: 'train' })).samples, 12);
  assert.equal((await index(links, { split: 'val' })).samples, 6);
  await assert.rejects(index(links), /look like parts of a data set/);

  const classOut = newFolder();
  writeImageFolder(classOut);
  const target = join(newFolder(outside), 'cat');
  renameSync(join(classOut, 'cat'), target);
  symlinkSync(target, join(classOut, 'cat'));
  await assert.rejects(index(classOut), (error) => {
    assert.ok(error instanceof PermissionDenied);
    for (const said of [join(classOut, 'cat'), target, '--data-root']) assert.ok(error.message.includes(said), error.message);
    return true;
  });
  const fileOut = newFolder();
  writeImageFolder(fileOut);
  symlinkSync(join(target, '0.png'), join(fileOut, 'ant', 'linked.png'));
  await assert.rejects(index(fileOut), (error) => error instanceof InvalidArgument && /ant\/linked\.png.*--data-root/.test(error.message));
  assert.equal((await index(fileOut, { maxUndecodable: 0.1 })).samples, 12);
  const partOut = newFolder();
  mkdirSync(join(outside, 'part'));
  symlinkSync(join(outside, 'part'), join(partOut, 'train'));
  await assert.rejects(index(partOut, { split: 'train' }), PermissionDenied);
  const deepOut = newFolder();
  writeImageFolder(deepOut);
  symlinkSync(outside, join(deepOut, 'ant', 'more'));
  await assert.rejects(index(deepOut), PermissionDenied);
});

test('links that lead nowhere or back are named', async () => {
  const folder = newFolder();
  writeImageFolder(folder);
  symlinkSync('nothing', join(folder, 'ant', 'gone.png'));
  await assert.rejects(index(folder), /ant\/gone\.png: it leads to nothing at nothing/);
  rmSync(join(folder, 'ant', 'gone.png'));
  symlinkSync('..', join(folder, 'ant', 'back'));
  await assert.rejects(index(folder), /leads back to a folder above it/);
  rmSync(join(folder, 'ant', 'back'));
  symlinkSync('../gone', join(folder, 'dog'));
  await assert.rejects(index(folder), /dog.*a link that leads somewhere/);
});

test('a folder whose classes look like parts is refused; one class named so is not', async () => {
  for (const names of [['train', 'val'], ['Train', 'TEST'], ['train'], ['val', 'test'], ['train', 'valid', 'extra'], ['train', 'dev']]) {
    const folder = newFolder();
    writeImageFolder(folder, { classes: names, perClass: 1 });
    await assert.rejects(index(folder), /look like parts of a data set: give --split/, names.join());
  }
  for (const names of [
    ['training_set', 'test_set'],
    ['train2017', 'val2017', 'extra'],
    ['Dev', 'Eval'],
    ['train-images', 'holdout'],
  ]) {
    const folder = newFolder();
    writeImageFolder(folder, { classes: names, perClass: 1 });
    await assert.rejects(index(folder), /look like parts of a data set: give the folder of one part/, names.join());
  }
  const vehicles = newFolder();
  writeImageFolder(vehicles, { classes: ['bus', 'train', 'tram'], perClass: 1 });
  assert.deepEqual((await index(vehicles)).classes, ['bus', 'train', 'tram']);
});

test('parts that lie deeper are not mixed: a folder above them, one class that has them, parts in every class', async () => {
  const mixed: readonly (readonly [above: string, train: string, val: string])[] = [
    ['imagenette2', 'train', 'val'],
    ['set/images', 'Train', 'VALID'],
    ['set/a/b', 'training_set', 'test_set'],
    ['ILSVRC2012/Data/CLS-LOC', 'train', 'test'],
  ];
  for (const [above, train, val] of mixed) {
    const folder = newFolder();
    writeParts(join(folder, above), train, val);
    await assert.rejects(
      index(folder),
      (error) => error instanceof InvalidArgument && error.message.includes(`${above} has parts of a data set in it, ${train} and ${val}`),
      above,
    );
  }
  const inClasses = newFolder();
  for (const name of ['ant', 'bee']) writeParts(join(inClasses, name), 'train', 'test');
  await assert.rejects(index(inClasses), /ant has parts of a data set in it, train and test/);
  const linked = newFolder();
  writeParts(newFolder(), 'train', 'val');
  symlinkSync(`../set${counter - 1}`, join(linked, 'set'));
  await assert.rejects(index(linked), /set has parts of a data set in it, train and val/);
  // One part alone, or parts in folders of their own, mix nothing.
  const harmless = newFolder();
  writeImageFolder(harmless, { classes: ['ant/train', 'bee/train', 'cat/a/test', 'cat/b/train'], perClass: 1 });
  assert.deepEqual((await index(harmless)).classes, ['ant', 'bee', 'cat']);
});

test('a set of one class is told of: nothing can be learned from it', async () => {
  const folder = newFolder();
  writeImageFolder(join(folder, 'pictures'));
  const { classes, warnings, samples } = await index(folder);
  assert.deepEqual([classes, samples], [['pictures'], 12]);
  assert.match(warnings.join(), /one class, pictures\. If the folders in it are the classes, give that folder/);
  assert.deepEqual((await index(join(folder, 'pictures'))).warnings, []);
});

test("a flat val/, as ILSVRC's, says what to do", async () => {
  const folder = newFolder();
  writeParts(folder, 'train', 'val');
  const flat = join(folder, 'val');
  for (const name of readdirSync(join(flat, 'ant'))) renameSync(join(flat, 'ant', name), join(flat, name));
  for (const name of ['ant', 'bee', 'cat']) rmSync(join(flat, name), { recursive: true });
  await assert.rejects(index(folder, { split: 'val' }), /2 images and no class folders: give the file/);
});

test('hidden and sidecar folders and files are no classes and no samples; an empty class is a warning', async () => {
  const folder = newFolder();
  writeImageFolder(folder);
  const odd = ['.git', '__MACOSX', '@eaDir', '.ipynb_checkpoints'];
  writeImageFolder(folder, { classes: [...odd, ...odd.map((name) => `ant/${name}`)] });
  for (const name of ['._0.png', '.hidden.jpg']) writeFileSync(join(folder, 'bee', name), 'x');
  mkdirSync(join(folder, 'dodo'));
  const { samples, classes, warnings, skipped } = await index(folder);
  assert.deepEqual([samples, classes, skipped], [12, ['ant', 'bee', 'cat', 'dodo'], []]);
  assert.match(warnings.join(), /class folder dodo has no images/);
});

test('named pipes, devices and foreign names are found at index time, by path, and never waited for', async () => {
  const folder = newFolder();
  writeImageFolder(folder);
  execFileSync('mkfifo', [join(folder, 'ant', 'pipe.png')]);
  symlinkSync('/dev/zero', join(folder, 'ant', 'zero.png'));
  symlinkSync('pipe.png', join(folder, 'ant', 'to-pipe.png'));
  mkdirSync(join(folder, 'ant', 'folder.png'));
  for (const name of ['new\nline.png', 'back\\slash.png']) writeFileSync(join(folder, 'bee', name), 'x');
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/cat/`), Buffer.from([0xff, 0xfe]), Buffer.from('.png')]), 'x');
  const { skipped, samples } = await index(folder, { maxUndecodable: 0.5 });
  assert.equal(samples, 12);
  const reasons = skipped.map(({ path, reason }) => `${path} ${reason}`).join('\n');
  for (const said of ['pipe.png it is a named pipe', 'zero.png it is a link to /dev/zero', 'to-pipe.png it is a link to a named pipe'])
    assert.ok(reasons.includes(said), reasons);
  for (const said of ['bee/new\\nline.png its name has control', 'backslash', 'not UTF-8']) assert.ok(reasons.includes(said), reasons);
  assert.equal(skipped.length, 6);
  await assert.rejects(index(folder), /6 cannot/);
  const cifar = newFolder();
  writeCifar(cifar, 'cifar10');
  rmSync(join(cifar, 'data_batch_2.bin'));
  await assert.rejects(index(cifar, { split: 'train' }), /data_batch_2\.bin is missing/);
  execFileSync('mkfifo', [join(cifar, 'data_batch_2.bin')]);
  await assert.rejects(index(cifar, { split: 'train' }), /data_batch_2\.bin.*a named pipe/);
  const shards = newFolder();
  writeTarShards(shards);
  execFileSync('mkfifo', [join(shards, 'z.tar')]);
  assert.equal((await index(shards)).samples, 15);
});
