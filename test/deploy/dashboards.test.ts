/** What must hold of dashboards and alerts before anything is scraped: whole panels, names that the services export, and a page for every alert. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { metricsPage } from '../../scripts/docs/metrics.js';
import { dashboardPanels, dashboardQueries } from './dashboard-queries.js';
import { alertRules, recordingRules } from './rule-files.js';

test('there is a dashboard for each part, whose panels have titles, unlike ids and places of their own', () => {
  const dashboards = dashboardPanels();
  assert.deepEqual([...dashboards.keys()].sort(), [
    'data-path.json',
    'grpc.json',
    'overview.json',
    'run.json',
    'scaling.json',
    'store.json',
  ]);
  for (const [file, panels] of dashboards) {
    assert.equal(new Set(panels.map((panel) => panel.id)).size, panels.length, file);
    const cells = new Set<string>();
    for (const { title, gridPos } of panels) {
      assert.ok(title, file);
      assert.ok(gridPos.x + gridPos.w <= 24, `${file}, ${title}`);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(!cells.has(`${x},${y}`), `${file}: ${title} lies over another panel`);
          cells.add(`${x},${y}`);
        }
      }
    }
  }
});

/** Words of PromQL that look like names of metrics. */
const metricName = /\b(?:dropstream_|grpc_(?:server|client)_|process_|nodejs_)\w+/g;
const ofNode = /^(process|nodejs)_/;

test('queries and alerts use metrics that the services export, and rules that are recorded', async () => {
  const exported = new Set([...(await metricsPage()).matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name!));
  const recorded = new Set(recordingRules().map(({ name }) => name));
  assert.ok(exported.size > 60 && recorded.size >= 7);
  const queries = [...dashboardQueries('1m'), ...[...alertRules(), ...recordingRules()].map(({ name, expr }) => ({ where: name, expr }))];
  for (const { where, expr } of queries) {
    for (const [name] of expr.matchAll(metricName)) {
      const metric = name.replace(/_(bucket|sum|count)$/, '');
      // prom-client's own; the test with a real Prometheus asks for them.
      if (ofNode.test(name)) continue;
      assert.ok(exported.has(name) || exported.has(metric), `${where}: no service exports ${name}`);
    }
    for (const [name] of expr.matchAll(/\bdropstream:\w+:\w+/g)) assert.ok(recorded.has(name), `${where}: no rule records ${name}`);
  }
});

test('every alert says how urgent it is and has a page, and every page has an alert and is in the table of docs/operating.md', () => {
  const docs = fileURLToPath(new URL('../../docs/', import.meta.url));
  const operating = readFileSync(`${docs}operating.md`, 'utf8');
  const alerts = alertRules();
  for (const { name, severity, runbook } of alerts) {
    assert.ok(severity === 'page' || severity === 'ticket', name);
    const file = name
      .replace('Dropstream', '')
      .replaceAll(/(?<!^)(?=[A-Z])/g, '-')
      .toLowerCase();
    assert.equal(runbook, `docs/runbooks/${file}.md`);
    assert.ok(operating.includes(`[\`${name}\`](runbooks/${file}.md)`), `${name} is not in docs/operating.md`);
    const page = readFileSync(`${docs}runbooks/${file}.md`, 'utf8');
    assert.ok(page.startsWith(`# ${name}\n`), file);
    for (const part of ['## What it means', '## What to look at', '## What to do'])
      assert.ok(page.includes(`\n${part}\n`), `${file}: ${part}`);
  }
  const pages = readdirSync(`${docs}runbooks`).map((page) => `docs/runbooks/${page}`);
  assert.deepEqual(pages.sort(), alerts.map(({ runbook }) => runbook!).sort());
});
