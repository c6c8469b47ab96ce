/** Every alert fires and clears in promtool, with the labels and the words that somebody gets to see. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { findTool } from '../support/tool.js';
import { type AlertCase, alertCases } from './alert-cases.js';
import { dashboardQueries, deployPath } from './dashboard-queries.js';
import { alertRules, ruleFiles } from './rule-files.js';

const run = promisify(execFile);
const promtool = await findTool('promtool');
const skip = 'skip' in promtool ? promtool.skip : false;
const path = 'path' in promtool ? promtool.path : '';

test('there are cases for every alert, and for no other', () => {
  assert.deepEqual(
    [...new Set(alertCases.map(({ alert }) => alert))].sort(),
    alertRules()
      .map(({ name }) => name)
      .sort(),
  );
});

function asTest({ alert, series, quiet, fires, clears, labels = {}, severity, summary }: AlertCase): object {
  const runbook = alertRules().find(({ name }) => name === alert)!.runbook;
  const at = (minutes: number, exp_alerts: object[]): object => ({ eval_time: `${minutes}m`, alertname: alert, exp_alerts });
  return {
    name: alert,
    interval: '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    alert_rule_test: [
      at(quiet, []),
      at(fires, [{ exp_labels: { ...labels, severity }, exp_annotations: { summary, runbook } }]),
      at(clears, []),
    ],
  };
}

test('every alert fires and clears', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-alerts-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'alerts.json');
  const tests = alertCases.map(asTest);
  await writeFile(file, JSON.stringify({ rule_files: ruleFiles(), evaluation_interval: '1m', tests }));
  const { stdout } = await run(path, ['test', 'rules', file], { timeout: 120_000 });
  assert.match(stdout, /SUCCESS/);
});

test('promtool accepts the rules, the configuration and the queries of the dashboards', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-queries-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const queries = join(folder, 'queries.json');
  const rules = dashboardQueries('1m').map(({ expr }, k) => ({ record: `dashboard:query:${k}`, expr }));
  await writeFile(queries, JSON.stringify({ groups: [{ name: 'queries', rules }] }));
  for (const [what, files] of [
    ['rules', [...ruleFiles(), queries]],
    ['config', [deployPath('prometheus/prometheus.yml')]],
  ] as const) {
    const { stdout } = await run(path, ['check', what, ...files], { timeout: 30_000 });
    assert.match(stdout, /SUCCESS/);
    assert.doesNotMatch(stdout, /FAILED/);
  }
});
