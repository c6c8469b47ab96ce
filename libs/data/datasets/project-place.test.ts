import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InvalidArgument, PermissionDenied } from '#errors/errors.js';
import { AllowedRoots } from './allowed-roots.js';
import { mayUse, parseProjectPlace } from './project-place.js';

const base = realpathSync(mkdtempSync(join(tmpdir(), 'dropstream-places-')));
after(() => rmSync(base, { recursive: true }));
for (const folder of ['wide/inner', 'only']) {
  mkdirSync(join(base, folder), { recursive: true });
  writeFileSync(join(base, folder, 'x'), '');
}
symlinkSync(join(base, 'only'), join(base, 'wide', 'link'));

test('a place says who may use it, and any other text is a place for all', () => {
  for (const text of ['/data', '/a=b', 'a#b', 's3://bucket/p?endpoint=http://h:1&region=x', '#projects=a'])
    assert.deepEqual(parseProjectPlace(text, '--root'), { place: text, projects: undefined });
  assert.deepEqual(parseProjectPlace('s3://b/p?endpoint=http://h:1#projects=a+b-2', '--source'), {
    place: 's3://b/p?endpoint=http://h:1',
    projects: new Set(['a', 'b-2']),
  });
  for (const list of ['', '+', 'a+', 'A', 'a,b', 'a b', '../a'])
    assert.throws(() => parseProjectPlace(`/data#projects=${list}`, '--root'), InvalidArgument, list);
  assert.deepEqual(
    ['a', 'b', undefined].map((project) => mayUse({ projects: new Set(['a']) }, project)),
    [true, false, true],
  );
});

test('the innermost folder around a path decides who may read it, also behind a link', async () => {
  const folders = [join(base, 'wide'), `${join(base, 'wide/inner')}#projects=a`, `${join(base, 'only')}#projects=b`];
  for (const order of [folders, folders.toReversed()]) {
    const roots = await AllowedRoots.open(order);
    const may = async (project: string | undefined, path: string) =>
      await (project === undefined ? roots : roots.for(project)).resolve(join(base, path)).then(
        () => true,
        (error) => {
          assert.ok(error instanceof PermissionDenied, String(error));
          const [named] = /allowed folders .*$/.exec(error.message) ?? [''];
          assert.ok(project === 'a' || !named.includes('inner'), named);
          assert.ok(project === 'b' || !named.includes('only'), named);
          return false;
        },
      );
    const table = async (project: string | undefined) =>
      await Promise.all(['wide/inner/x', 'wide/inner', 'only/x', 'wide/link/x', 'wide'].map((path) => may(project, path)));
    assert.deepEqual(await table('a'), [true, true, false, false, true]);
    assert.deepEqual(await table('b'), [false, false, true, true, true]);
    assert.deepEqual(await table('c'), [false, false, false, false, true]);
    assert.deepEqual(await table(undefined), [true, true, true, true, true]);
  }
});

test('a folder that is given twice is for the projects of both, and a project may have no folder at all', async () => {
  const only = join(base, 'only');
  const roots = await AllowedRoots.open([`${only}#projects=a`, `${only}#projects=b`]);
  for (const project of ['a', 'b']) assert.equal(await roots.for(project).resolve(join(only, 'x')), join(only, 'x'));
  assert.deepEqual([roots.for('c').folders, roots.folders], [[], [only]]);
  await assert.rejects(roots.for('c').resolve(join(only, 'x')), /no folder is allowed for project c/);
});
