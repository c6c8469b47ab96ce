/** Images without class folders, with the files of labels that data sets bring along. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InvalidArgument } from '#errors/errors.js';
import { writeImageFolder } from '../../../test/support/sample-datasets.js';
import { Manifest } from '../manifest/manifest.js';
import { AllowedRoots } from './allowed-roots.js';
import { parseLabels } from './image-labels.js';
import { type IndexOptions, indexDataset } from './index-dataset.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-labels-'));
after(() => rmSync(base, { recursive: true, force: true }));
let counter = 0;

/** ILSVRC in small: class folders in train, images of all classes in one folder of val. */
function flatSet(parts = '', images = ''): { folder: string; val: string; truth: { name: string; className: string }[] } {
  const folder = join(base, `set${counter++}`);
  writeImageFolder(join(folder, parts, 'train'), { perClass: 2 });
  const sorted = join(folder, 'sorted');
  writeImageFolder(sorted, { perClass: 2 });
  const val = join(folder, parts, 'val');
  mkdirSync(join(val, images), { recursive: true });
  const found = readdirSync(sorted).flatMap((className) => readdirSync(join(sorted, className)).map((name) => ({ name, className })));
  // Not in the order of their classes.
  const truth = found
    .sort((a, b) => (a.name + a.className < b.name + b.className ? -1 : 1))
    .map(({ name, className }, i) => {
      const flat = `val_${String(i).padStart(4, '0')}.${name.split('.').at(-1)}`;
      renameSync(join(sorted, className, name), join(val, images, flat));
      return { name: flat, className };
    });
  rmSync(sorted, { recursive: true });
  return { folder, val, truth };
}

const index = async (folder: string, options: IndexOptions = {}) => {
  const dataset = await indexDataset(await AllowedRoots.open([base]), folder, options);
  return { ...dataset, manifest: new Manifest(dataset.bytes, dataset.sha256) };
};

const CLASSES = ['ant', 'bee', 'cat'];
const withoutEnding = (name: string) => name.replace(/\..*/, '');
const FORMS: Readonly<Record<string, (truth: { name: string; className: string }[]) => string>> = {
  'LOC_val_solution.csv': (truth) =>
    `ImageId,PredictionString\n${truth
      .map(({ name, className }) => `${withoutEnding(name)},${className} 1 2 3 4 ${className} 5 6 7 8 \n`)
      .reverse()
      .join('')}`,
  'val.txt': (truth) => truth.map(({ name, className }) => `${name} ${CLASSES.indexOf(className)}`).join('\r\n'),
  'val_annotations.txt': (truth) => truth.map(({ name, className }) => `${name}\t${className}\t0\t0\t31\t31\n`).join(''),
  'imagenet_2012_validation_synset_labels.txt': (truth) => truth.map(({ className }) => `${className}\n`).join(''),
};

test('a file of labels is found by its name beside or above the images, in every form and tree', async () => {
  for (const [name, write] of Object.entries(FORMS))
    for (const [parts, images, place] of [
      ['', '', 'folder'],
      ['', '', 'val'],
      ['', 'images', 'val'],
      ['ILSVRC/Data/CLS-LOC', '', 'folder'],
    ] as const) {
      const set = flatSet(parts, images);
      writeFileSync(join(set[place], name), write(set.truth));
      const { manifest, classes, samples, skipped, ignored, warnings } = await index(set.folder, { split: 'val' });
      assert.deepEqual([classes, samples, skipped, warnings], [CLASSES, 6, [], []], name);
      assert.equal(ignored, place === 'val' ? 1 : 0);
      for (let i = 0; i < samples; i++) {
        const file = manifest.path(i).split('/').at(-1);
        assert.equal(classes[manifest.labels[i] as number], set.truth.find((one) => one.name === file)?.className, `${name}: ${file}`);
      }
      assert.deepEqual([...manifest.labels], [0, 0, 1, 1, 2, 2], 'in the order of their classes');
    }
});

test('a file of labels by an option, also without training images beside it', async () => {
  const { val, truth } = flatSet();
  const labels = join(base, 'truth.csv');
  writeFileSync(labels, FORMS['LOC_val_solution.csv']?.(truth) ?? '');
  assert.deepEqual((await index(val, { labels })).classes, CLASSES);
  writeFileSync(labels, FORMS['val.txt']?.(truth) ?? '');
  assert.deepEqual((await index(val, { labels })).classes, ['0', '1', '2']);
  await assert.rejects(index(val), /6 images and no class folders: give the file of their labels with --labels/);
});

test('images without a label are left out by the share rule, labels without an image are told', async () => {
  const { val, truth } = flatSet();
  const labels = join(base, 'partial.txt');
  writeFileSync(labels, `${FORMS['val.txt']?.(truth.slice(1))}\nval_9999.jpg 1\nval_9998.jpg 1\n`);
  await assert.rejects(
    index(val, { labels }),
    (error) => error instanceof InvalidArgument && /partial\.txt has no label for it/.test(error.message),
  );
  const { samples, skipped, warnings } = await index(val, { labels, maxUndecodable: 0.5 });
  assert.deepEqual([samples, skipped.length], [5, 1]);
  assert.match(warnings.join(), /1 labels more than there are images/);
});

test('what is no file of labels is refused with what it must hold', () => {
  const images = ['a.jpg', 'b.jpg'];
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /lines of a file name and its class/],
    ['1\n2\n', /numbers alone are in an order that only the devkit's meta\.mat tells/],
    ['ant\n', /it has 1 lines for 2 images/],
    ['a.jpg ant\nb.jpg\n', /its line "b\.jpg" is neither/],
    ['a.jpg ant\nb.jpg dog\n', /labels of the 3 classes; "dog" is none of them/],
    ['a.jpg 1\nb.jpg 3\n', /labels of the 3 classes; "3" is none of them/],
  ];
  for (const [text, reason] of cases) assert.throws(() => parseLabels(text, 'labels.txt', images, CLASSES), reason, text);
  assert.throws(() => parseLabels('a.jpg 900000\n', 'labels.txt', images, []), /labels from 0 to/);
  assert.equal(
    parseLabels('a.jpg 10\nb.jpg 9\n', 'labels.txt', images, ['10', '9']).labelOf('a.jpg'),
    0,
    'classes that are called by numbers',
  );
});
