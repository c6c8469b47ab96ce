import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { dashboards } from './dashboard-list.js';

test('the system page links to every dashboard that comes with Dropstream, by its uid', () => {
  const folder = new URL('../../../../deploy/grafana/dashboards/', import.meta.url);
  const uids = readdirSync(folder).map((name) => (JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as { uid: string }).uid);
  assert.deepEqual(dashboards.map(([uid]) => uid).sort(), uids.sort());
});
