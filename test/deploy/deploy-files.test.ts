import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findTool } from '../support/tool.js';
import { dashboardQueries, deployPath, ruleQueries } from './dashboard-queries.js';

test('the rules file holds every expression of the dashboard, and no other', () => {
  assert.ok(dashboardQueries().length > 20);
  assert.deepEqual([...new Set(dashboardQueries())].sort(), ruleQueries().sort());
});

test('panels have titles, units and no overlaps', () => {
  const { panels } = JSON.parse(readFileSync(deployPath('grafana/dashboards/dropstream.json'), 'utf8')) as {
    panels: { id: number; title: string; type: string; gridPos: { x: number; y: number; w: number; h: number } }[];
  };
  assert.equal(new Set(panels.map((panel) => panel.id)).size, panels.length);
  const cells = new Set<string>();
  for (const { title, gridPos } of panels) {
    assert.ok(title);
    assert.ok(gridPos.x + gridPos.w <= 24, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(!cells.has(`${x},${y}`), `${title} lies over another panel`);
        cells.add(`${x},${y}`);
      }
    }
  }
});

const promtool = await findTool('promtool');
test('promtool accepts rules and configuration', { skip: 'skip' in promtool ? promtool.skip : false }, async () => {
  const { path } = promtool as { path: string };
  for (const [what, file] of [
    ['rules', 'prometheus/dashboard-queries.rules.yaml'],
    ['config', 'prometheus/prometheus.yml'],
  ] as const) {
    const { stdout } = await promisify(execFile)(path, ['check', what, deployPath(file)], { timeout: 30_000 });
    assert.match(stdout, /SUCCESS/);
  }
});

test('the image has neither root nor a compiler in its final stage', () => {
  const stages = readFileSync(deployPath('Dockerfile'), 'utf8')
    .split(/^FROM /m)
    .slice(1);
  const final = stages.at(-1)!;
  assert.equal(stages.length, 2);
  assert.match(final, /^node:20-bookworm-slim\n/);
  assert.match(final, /^USER node$/m);
  assert.doesNotMatch(final, /apt-get|g\+\+|npm /);
});

test('every file that the compose file mounts exists', () => {
  const compose = readFileSync(deployPath('compose.yaml'), 'utf8');
  const mounts = [...compose.matchAll(/- (\.\/[\w/.-]+):/g)].map(([, path]) => path!);
  assert.ok(mounts.length >= 3);
  for (const path of mounts)
    assert.ok(fileURLToPath(new URL(path, `file://${deployPath('compose.yaml')}`)).length > 0 && exists(path), path);
});

function exists(path: string): boolean {
  try {
    readFileSync(deployPath(path));
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EISDIR';
  }
}
