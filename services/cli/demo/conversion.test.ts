import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { parseIdx } from '#data/datasets/idx.js';
import { convertFashionMnist, findFashionMnist } from './fashion-mnist.js';
import { readJsonRows } from './json-rows.js';
import { stripes, writeSyntheticImages } from './synthetic-images.js';

const folder = await mkdtemp(join(tmpdir(), 'dropstream-conversion-'));
after(() => rm(folder, { recursive: true, force: true }));

const rowsOf = async (text: string): Promise<number[][]> => {
  const path = join(folder, 'rows.json');
  await writeFile(path, text);
  const rows: number[][] = [];
  for await (const row of readJsonRows(path)) rows.push([...row]);
  return rows;
};

test('rows come as JSON.parse reads them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 }), { maxLength: 20 }),
      fc.boolean(),
      async (data, pretty) => {
        assert.deepEqual(await rowsOf(JSON.stringify({ data }, null, pretty ? 2 : 0)), data);
      },
    ),
    { numRuns: 30 },
  );
});

test('rows larger than a chunk of the file are whole', async () => {
  const data = Array.from({ length: 40 }, (_, r) => Array.from({ length: 30_000 }, (_, k) => (r * 7 + k) % 256));
  assert.deepEqual(await rowsOf(JSON.stringify({ data })), data);
});

test('values that are no bytes, and files that end early, are refused with their place', async () => {
  await assert.rejects(rowsOf('{"data":[[1,256]]}'), /rows\.json, byte \d+: 256 is not a byte/);
  await assert.rejects(rowsOf('{"data":[[1,-2]]}'), /"-" in a row/);
  await assert.rejects(rowsOf('{"data":[[[1]]]}'), /an array inside a row/);
  await assert.rejects(rowsOf('{"data":[[1,2],[3'), /ends inside the array/);
});

/** Ten class files of `count` images; class 0 has an empty row in between. Pixel p of image k of class c: (c + k + p) mod 256. */
async function makePackage(count: number): Promise<string> {
  const source = join(folder, 'clothes');
  await mkdir(source, { recursive: true });
  for (let label = 0; label < 10; label++) {
    const data: number[][] = Array.from({ length: count }, (_, k) => Array.from({ length: 784 }, (_, p) => (label + k + p) % 256));
    if (label === 0) data.splice(3, 0, []);
    await writeFile(join(source, `${label}.json`), JSON.stringify({ data }));
  }
  return source;
}

test('every seventh image becomes a test image, empty rows are named, and the second call finds the cache', async () => {
  const source = await makePackage(14);
  const progress: number[] = [];
  const options = { source, cacheRoot: join(folder, 'cache'), progress: (_: number, images: number) => progress.push(images) };
  const first = await convertFashionMnist(options);
  assert.deepEqual(
    { train: first.train, test: first.test, empty: first.empty, cached: first.cached },
    { train: 120, test: 20, empty: ['class 0, row 3'], cached: false },
  );
  assert.deepEqual(
    progress,
    Array.from({ length: 10 }, (_, k) => 14 * (k + 1)),
  );

  const images = await readFile(join(first.folder, 't10k-images-idx3-ubyte'));
  const labels = await readFile(join(first.folder, 't10k-labels-idx1-ubyte'));
  assert.deepEqual([parseIdx(images).dimensions, parseIdx(labels).dimensions], [[20, 28, 28], [20]]);
  assert.deepEqual(
    [...labels.subarray(8)],
    Array.from({ length: 20 }, (_, k) => Math.floor(k / 2)),
  );
  // Test image 3 is the second one of class 1: image 13 of the class.
  assert.deepEqual([...images.subarray(16 + 3 * 784, 16 + 3 * 784 + 3)], [14, 15, 16]);

  const second = await convertFashionMnist(options);
  assert.deepEqual(second, { ...first, cached: true });
  assert.deepEqual((await readdir(options.cacheRoot)).length, 1, 'no draft is left');
});

test('part of each class is converted without reading the rest', async () => {
  const source = await makePackage(14);
  for (let label = 0; label < 10; label++) {
    const path = join(source, `${label}.json`);
    await writeFile(path, `${(await readFile(path, 'utf8')).slice(0, 30_000)}broken`);
  }
  const { train, test: tests } = await convertFashionMnist({ source, cacheRoot: join(folder, 'part'), perClass: 7 });
  assert.deepEqual([train, tests], [60, 10]);
});

test('a failed conversion leaves nothing behind', async () => {
  const cacheRoot = join(folder, 'failed');
  await assert.rejects(convertFashionMnist({ source: join(folder, 'nowhere'), cacheRoot }), /ENOENT/);
  assert.deepEqual(await readdir(cacheRoot), []);
});

test('the installed package has the images it should', {
  skip: findFashionMnist() ? false : 'the package fashion-mnist is not installed',
}, async () => {
  let rows = 0;
  const empty: number[] = [];
  for await (const row of readJsonRows(join(findFashionMnist()!, '0.json'))) {
    if (row.length === 0) empty.push(rows);
    else assert.equal(row.length, 784);
    rows++;
  }
  assert.deepEqual([rows, empty], [7002, [1000, 7001]]);
});

test('synthetic images are the same every time and differ between classes', async () => {
  assert.deepEqual(stripes(3, 5), stripes(3, 5));
  assert.notDeepEqual(stripes(3, 5), stripes(4, 5));
  const { folder: made, train, test: tests } = await writeSyntheticImages(join(folder, 'synthetic'), 7);
  assert.deepEqual([train, tests], [60, 10]);
  assert.deepEqual(parseIdx(await readFile(join(made, 'train-images-idx3-ubyte'))).dimensions, [60, 28, 28]);
});
