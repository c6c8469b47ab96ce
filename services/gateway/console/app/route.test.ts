import assert from 'node:assert/strict';
import { test } from 'node:test';
import { link, parseRoute } from './route.js';

test('addresses are the names of what they show', () => {
  for (const [hash, page, project, id] of [
    ['', 'runs', 'projects/default', ''],
    ['#/projects/p/runs', 'runs', 'projects/p', ''],
    ['#/projects/p/runs/r-1', 'run', 'projects/p', 'r-1'],
    ['#/projects/p/new-run', 'new-run', 'projects/p', ''],
    ['#/projects/p/schedules/warm', 'schedule', 'projects/p', 'warm'],
    ['#/projects/p/data/abc', 'data', 'projects/p', 'abc'],
    ['#/projects/p/compare?runs=a,b', 'compare', 'projects/p', ''],
    ['#/projects/p/system', 'system', 'projects/p', ''],
    ['#/projects/p/system/x', 'unknown', 'projects/p', 'x'],
    ['#/somewhere', 'unknown', 'projects/default', ''],
    ['#/projects/p/runs/r/more', 'unknown', 'projects/default', 'r'],
    ['#/projects/%E0%A4%A/runs', 'runs', 'projects/%E0%A4%A', ''],
  ] as const) {
    const route = parseRoute(hash);
    assert.deepEqual([route.page, route.project, route.id], [page, project, id], hash);
  }
});

test('links come back as what they were made of', () => {
  const route = parseRoute(link('projects/p/runs', { filter: 'state = RUNNING AND labels.a = "x&y"', empty: '' }));
  assert.equal(route.options.get('filter'), 'state = RUNNING AND labels.a = "x&y"');
  assert.equal(route.options.has('empty'), false);
});
