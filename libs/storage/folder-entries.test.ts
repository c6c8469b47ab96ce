import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
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

/** Looks at a folder at a time, ms, of a clock of its own. */
function looks(above: string) {
  let nowMs = 0;
  const folders = new FolderEntries(root, () => nowMs);
  return (atMs: number) => {
    nowMs = atMs;
    return folders.of(above, undefined);
  };
}

/** Long ago on every clock of this machine, as that of a file server that is behind would have it. */
const [whole, fine] = [1_700_000_000, 1_700_000_000.5];

test('a large folder is read again once it has changed', async () => {
  const { above, changed } = await folderOf('changing');
  await changed(fine);
  const look = looks(above);
  assert.deepEqual(
    keysOf(await look(0)),
    many.map((file) => above + file),
  );
  const second = await look(100);
  assert.equal(await look(100), second, 'it has not changed, so it is not read');
  await writeFile(join(root, above, 'a'), '');
  assert.deepEqual(keysOf(await look(200)).at(-1), `${above}a`);
  await rm(join(root, above, 'a'));
  assert.equal(keysOf(await look(200)).length, many.length);
  await rm(join(root, above), { recursive: true });
  assert.deepEqual(await look(200), []);
});

for (const [what, time, roundingMs] of [
  ['parts of a second', fine, 100],
  ['whole seconds', whole, 3000],
] as const)
  test(`a folder with times in ${what} may change again without another time, so it is read again until ${roundingMs} ms have passed`, async () => {
    const { above, changed } = await folderOf(`rounded-${roundingMs}`);
    await changed(time);
    const look = looks(above);
    await look(0);
    await look(roundingMs - 1);
    await writeFile(join(root, above, 'a'), '');
    await changed(time);
    const last = await look(roundingMs);
    assert.equal(keysOf(last).at(-1), `${above}a`);
    assert.equal(await look(roundingMs), last, 'from now on a change would have another time');
    // Another time, and the waiting begins again.
    await changed(time + 10);
    await look(10 * roundingMs);
    await writeFile(join(root, above, 'b'), '');
    await changed(time + 10);
    assert.equal(keysOf(await look(11 * roundingMs - 1)).at(-1), `${above}b`);
  });

test('another folder under the name is read, though it has the same time', async () => {
  const { above, changed } = await folderOf('first');
  await changed(fine);
  const look = looks(above);
  await look(0);
  await look(100);
  const other = await folderOf('second');
  await rm(join(root, other.above, many[0]!));
  await rename(join(root, 'first'), join(root, 'gone'));
  await rename(join(root, 'second'), join(root, 'first'));
  await changed(fine);
  assert.equal(keysOf(await look(200)).length, many.length - 1);
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
