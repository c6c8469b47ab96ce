import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ReportData } from '#client/report-data.js';
import { runCommandLine } from '../../../test/support/run-command-line.js';
import { reportPage } from './report-file.js';

const data: ReportData = {
  title: '</script><script>alert(1)</script> $& <!--',
  summary: '',
  made: '2026-11-30T10:00:00.000Z',
  facts: [],
  runs: [
    { run: { name: 'projects/p/runs/r' }, events: [{ epoch: { trainLoss: Number.NaN } }], series: {}, evaluations: [], checkpoints: [] },
  ],
  images: [],
  environment: [],
  commands: [],
};

test('the data lies in the page as it is, and cannot end its element', async () => {
  const page = (await reportPage())(data);
  const [, text = ''] = /<script type="application\/json" id="report-data">([^<]*)<\/script>/.exec(page) ?? [];
  assert.deepEqual(JSON.parse(text), { ...data, runs: [{ ...data.runs[0]!, events: [{ epoch: { trainLoss: 'NaN' } }] }] });
});

test('the page names no file of elsewhere, and its policy allows none', async () => {
  const page = (await reportPage())(data);
  assert.doesNotMatch(page, /\b(src|href)="?(https?:|\/)|@import|url\(/);
  const [, policy = ''] = /http-equiv="content-security-policy" content="([^"]*)"/.exec(page) ?? [];
  assert.match(
    policy,
    /^default-src 'none'; script-src 'sha256-[\w+/=]+'; style-src 'sha256-[\w+/=]+'; img-src data:; base-uri 'none'; form-action 'none'$/,
  );
});

test('a folder that is not there is said before the runs are read', async () => {
  const argv = ['runs', 'report', 'r', '--out', 'nowhere/r.html', '--trainer', '127.0.0.1:1'];
  const { code, err } = await runCommandLine(argv, { cwd: tmpdir() });
  assert.equal(code, 2);
  assert.ok(err.includes(`out is ${JSON.stringify(join(tmpdir(), 'nowhere/r.html'))}, must be a file in a folder that exists`), err);
});
