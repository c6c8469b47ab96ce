/**
 * `npm run dashboards` writes deploy/grafana/dashboards from the descriptions beside this file; `npm run dashboards -- --check` compares instead, and
 * exits with 1 where a file differs.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dashboards } from './all.js';
import { grafanaJson } from './grafana-json.js';

const folder = fileURLToPath(new URL('../../deploy/grafana/dashboards/', import.meta.url));
const wanted = new Map(dashboards.map((dashboard) => [`${dashboard.id}.json`, grafanaJson(dashboard)]));
const present = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
const stale = [...new Set([...wanted.keys(), ...present.keys()])].filter((name) => wanted.get(name) !== present.get(name)).sort();

if (!process.argv.includes('--check')) {
  for (const name of stale) {
    const text = wanted.get(name);
    if (text === undefined) rmSync(join(folder, name));
    else writeFileSync(join(folder, name), text);
  }
  console.log(stale.length === 0 ? 'nothing has changed' : stale.map((name) => `wrote ${name}`).join('\n'));
} else if (stale.length > 0) {
  console.error(
    `These dashboards are not what scripts/dashboards says: ${stale.join(', ')}. Run \`npm run dashboards\` and commit the result.`,
  );
  process.exitCode = 1;
}
