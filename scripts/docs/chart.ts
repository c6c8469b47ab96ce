/** What of the chart follows from other files: its copies of alerts and dashboards, which helm reads only inside the chart, and its table of values. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { cell, code, table } from './markdown.js';

export const chart = 'deploy/helm/dropstream';
/** What is copied, and where to; these folders hold nothing else. */
const copied = { 'deploy/prometheus': `${chart}/files/rules`, 'deploy/grafana/dashboards': `${chart}/files/dashboards` };
export const chartCopies: readonly string[] = Object.values(copied);
const forTestsOnly = ['dashboard-queries.rules.yaml'];

export function chartFiles(root: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const [from, to] of Object.entries(copied))
    for (const name of readdirSync(join(root, from)).filter((file) => /\.rules\.yaml$|\.json$/.test(file) && !forTestsOnly.includes(file)))
      files.set(`${to}/${name}`, readFileSync(join(root, from, name), 'utf8'));
  return files;
}

/** The values with their defaults, from values.yaml and its comments `# -- …`, which may go on in further lines. */
export function chartValueTable(root: string): string[] {
  const text = readFileSync(join(root, chart, 'values.yaml'), 'utf8');
  const defaults = parse(text) as unknown;
  const above: { key: string; indent: number }[] = [];
  const rows: string[][] = [];
  let comment: string[] = [];
  for (const line of text.split('\n')) {
    const said = /^\s*# (-- )?(.*)$/.exec(line);
    if (said) {
      comment = said[1] === undefined ? (comment.length > 0 ? [...comment, said[2]!] : []) : [said[2]!];
      continue;
    }
    const [, indent, key] = /^(\s*)([A-Za-z]\w*):/.exec(line) ?? [];
    if (indent === undefined || key === undefined) continue;
    while (above.length > 0 && above.at(-1)!.indent >= indent.length) above.pop();
    above.push({ key, indent: indent.length });
    const path = above.map((part) => part.key);
    if (comment.length > 0) rows.push([code(path.join('.')), shownDefault(path, defaults), cell(comment.join(' '))]);
    comment = [];
  }
  return table(['value', 'default', 'meaning'], rows);
}

function shownDefault(path: readonly string[], defaults: unknown): string {
  const value = path.reduce<unknown>((object, key) => (object as Record<string, unknown>)[key], defaults);
  return value === '' ? 'empty' : code(typeof value === 'string' ? value : JSON.stringify(value));
}
