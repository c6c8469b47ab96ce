import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadFrom } from './addon.js';
import { CollectivesAbsent, collectivesAvailable } from './index.js';

test('an addon that is missing or does not load is reported with what to install', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-addon-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const broken = join(folder, 'broken.node');
  writeFileSync(broken, 'not a library');
  for (const [paths, why] of [
    [[join(folder, 'none.node')], /is not built/],
    [[join(folder, 'none.node'), broken], /does not load/],
  ] as const)
    assert.throws(
      () => loadFrom(paths),
      (error) => error instanceof CollectivesAbsent && why.test(error.message) && /libgloo-dev.*npm run build/.test(error.message),
    );
});

test('a process says whether the addon is there', () => {
  const found = collectivesAvailable();
  if (found.available) assert.match(found.version, /^\d+\.\d+\.\d+$/);
  else assert.match(found.reason, /libgloo-dev/);
});
