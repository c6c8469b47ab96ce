import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../test/support/until.js';
import { SettledFiles } from './settled-files.js';

const LOOK_MS = 20;

/** Two files whose contents must be equal to be of use. */
function watched(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-settled-'));
  const paths = ['a', 'b'].map((name) => join(folder, name));
  const read = () =>
    paths.map((path) => {
      try {
        return readFileSync(path);
      } catch (error) {
        return error as Error;
      }
    });
  for (const path of paths) writeFileSync(path, '0');
  const seen: string[] = [];
  let looks = 0;
  const files = new SettledFiles(
    {
      read,
      lookMs: LOOK_MS,
      use: (contents) => {
        const [a, b] = contents.map(String);
        if (a !== b) throw new Error(`${a} is not ${b}`);
        seen.push(`use ${a}`);
      },
      onFault: (error) => seen.push((error as Error).message.replace(/, open.*/, '')),
      onWell: () => seen.push('well'),
      onLook: () => void looks++,
    },
    read(),
  );
  t.after(() => {
    files.close();
    rmSync(folder, { recursive: true });
  });
  const looked = async (times: number): Promise<void> => {
    const end = looks + times;
    await until('looks', () => looks >= end);
  };
  return { paths, seen, looked };
}

test('contents are used when they have settled, a fault is told once, and what was in use before counts again', async (t) => {
  const { paths, seen, looked } = watched(t);
  const [a = '', b = ''] = paths;
  await looked(3);
  assert.deepEqual(seen, [], 'what is in use is not used again');
  writeFileSync(a, '1');
  await looked(4);
  assert.deepEqual(seen, ['1 is not 0'], 'half of a change is told once');
  writeFileSync(b, '1');
  await looked(3);
  assert.deepEqual(seen.splice(0), ['1 is not 0', 'use 1', 'well']);
  rmSync(b);
  await looked(4);
  writeFileSync(`${b}.new`, '1');
  renameSync(`${b}.new`, b);
  await looked(3);
  assert.deepEqual(seen, [`1 is not Error: ENOENT: no such file or directory`, 'well']);
});

test('files that are written all the time are used when they come to rest', async (t) => {
  const { paths, seen, looked } = watched(t);
  for (let n = 1; n <= 40; n++) {
    for (const path of paths) writeFileSync(path, String(n));
    await delay(LOOK_MS / 4);
  }
  await looked(3);
  assert.equal(seen.at(-1), 'use 40');
});
