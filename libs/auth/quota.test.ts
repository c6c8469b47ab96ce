import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InvalidArgument, ResourceExhausted } from '#errors/errors.js';
import { checkQuota, noQuotas, type QuotaRules, quotasOf, weightOf } from './quota.js';
import { parseQuotas, readQuotas } from './quota-file.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-quota-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'quotas.json');
const read = (content: unknown): QuotaRules => {
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return parseQuotas(readQuotas(path), path);
};

test('a project has the defaults, what it names itself, and no limit where it says null', () => {
  const rules = read({
    version: 1,
    default: { runs: 10, queued: 2, weight: 2 },
    projects: { free: { runs: null, queued: null, weight: null }, large: { runs: 100, streams: 0 } },
  });
  assert.deepEqual(quotasOf(rules, 'any'), { runs: 10, queued: 2, weight: 2 });
  assert.deepEqual(quotasOf(rules, 'free'), {});
  assert.deepEqual(quotasOf(rules, 'large'), { runs: 100, queued: 2, weight: 2, streams: 0 });
  assert.deepEqual(
    ['any', 'free', 'toString', '__proto__'].map((project) => weightOf(rules, project)),
    [2, 1, 2, 2],
  );
  assert.deepEqual([quotasOf(noQuotas, 'p'), weightOf(noQuotas, 'p')], [{}, 1]);
  assert.deepEqual(quotasOf(read({ version: 1 }), 'p'), {});
});

test('the error names the quota, the project, the limit, the use and what to do', () => {
  checkQuota({ project: 'p', quota: 'runs', limit: undefined, used: 1e9 });
  checkQuota({ project: 'p', quota: 'runs', limit: 3, used: 2 });
  for (const [limit, used] of [[3, 3] as const, [0, 0] as const, [3, 5] as const])
    assert.throws(
      () => checkQuota({ project: 'p', quota: 'runs', limit, used }),
      (error) => {
        assert.ok(error instanceof ResourceExhausted);
        assert.equal(error.retryAfterMs, undefined);
        assert.equal(
          error.message,
          `the quota "runs" of project p is exhausted, the limit is ${limit} stored runs, and ${used} are in use: delete runs that are not ` +
            'needed any more, or ask the operator of the service for a larger quota',
        );
        return true;
      },
    );
});

test('a file that says something else is refused, and says where', () => {
  for (const [content, where] of [
    ['{', /valid JSON/],
    [{}, /version/],
    [{ version: 2 }, /version/],
    [{ version: 1, default: { run: 1 } }, /default/],
    [{ version: 1, default: { runs: -1 } }, /default\.runs/],
    [{ version: 1, default: { runs: 1.5 } }, /default\.runs/],
    [{ version: 1, projects: { p: { weight: 0 } } }, /projects\.p\.weight/],
    [{ version: 1, projects: { p: { weight: 1001 } } }, /projects\.p\.weight/],
    [{ version: 1, projects: { 'A B': {} } }, /projects/],
  ] as const)
    assert.throws(
      () => read(content),
      (error) => error instanceof InvalidArgument && where.test(error.message),
      JSON.stringify(content),
    );
  assert.throws(() => parseQuotas(readQuotas(join(folder, 'absent')), 'absent'), InvalidArgument);
});
