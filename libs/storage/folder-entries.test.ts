import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { type Entry, entriesBetween, FolderEntries, type Runs } from './folder-entries.js';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'dropstream-folders-'));
});
after(() => rm(root, { recursive: true }));

const many = Array.from({ length: 1500 }, (_, k) => String(k).padStart(5, '0'));
const keysOf = (runs: Runs, prefix = '', from = '') => [...entriesBetween(runs, prefix, from)].map(({ key }) => key);

/** A folder with 1,500 files, and how to give it a time of change. */
async function folderOf(name: string) {
  await mkdir(join(root, name));
  await Promise.all(many.map((file) => writeFile(join(root, name, file), '')));
  return { above: `${name}/`, changed: (seconds: number) => utimes(join(root, name), seconds, seconds) };
}

const seconds = 1_700_000_000;

test('a large folder is read again once it has changed', async () => {
  const { above, changed } = await folderOf('changing');
  await changed(seconds);
  const folders = new FolderEntries(root, () => (seconds + 60) * 1000);
  const first = await folders.of(above, undefined);
  assert.deepEqual(
    keysOf(first),
    many.map((file) => above + file),
  );
  assert.equal(await folders.of(above, undefined), first, 'it has not changed, so it is not read');
  await writeFile(join(root, above, 'a'), '');
  assert.deepEqual(keysOf(await folders.of(above, undefined)).at(-1), `${above}a`);
  await rm(join(root, above, 'a'));
  assert.equal(keysOf(await folders.of(above, undefined)).length, many.length);
  await rm(join(root, above), { recursive: true });
  assert.deepEqual(await folders.of(above, undefined), []);
});

for (const [what, age, time] of [
  ['that changed a moment ago', 0.05, seconds + 0.5],
  ['whose times are whole seconds, until three of them have passed', 2.9, seconds],
] as const)
  test(`a folder ${what}, may change again without another time, so it is read again`, async () => {
    const { above, changed } = await folderOf(`recent-${age}`);
    await changed(time);
    const folders = new FolderEntries(root, () => (time + age) * 1000);
    await folders.of(above, undefined);
    await writeFile(join(root, above, 'a'), '');
    await changed(time);
    assert.equal(keysOf(await folders.of(above, undefined)).at(-1), `${above}a`);
  });

const name = fc.stringMatching(/^[a-c.]{1,3}$/);
const entry = fc.tuple(name, fc.boolean()).map(([word, isFolder]): Entry => ({ key: `x/${word}${isFolder ? '/' : ''}`, isFolder }));

test('what lies between is what a look at every entry finds, however they are divided', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(entry, { selector: ({ key }) => key, maxLength: 30 }),
      fc.integer({ min: 1, max: 10 }),
      fc.oneof(
        fc.constant('x/'),
        name.map((word) => `x/${word}`),
      ),
      fc.oneof(
        fc.constant(''),
        name.map((word) => `x/${word}`),
        fc.tuple(name, name).map(([a, b]) => `x/${a}/${b}`),
      ),
      (entries, size, prefix, from) => {
        const inOrder = (some: readonly Entry[]) => some.toSorted((a, b) => (a.key < b.key ? -1 : 1));
        const runs = Array.from({ length: Math.ceil(entries.length / size) }, (_, k) => inOrder(entries.slice(k * size, (k + 1) * size)));
        const wanted = inOrder(entries).filter(
          ({ key, isFolder }) => key.startsWith(prefix) && (key > from || (isFolder && from.startsWith(key))),
        );
        assert.deepEqual([...entriesBetween(runs, prefix, from)], wanted);
      },
    ),
  );
});
