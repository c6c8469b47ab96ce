/** What of the chart follows from other files: its copies of alerts and dashboards, which helm reads only inside the chart, and its table of values. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { cell, code, table } from './markdown.js';

export const chart = 'deploy/helm/dropstream';
/** The folders that hold nothing but copies. */
export const chartCopies = `${chart}/files`;

export function chartFiles(root: string): Map<string, string> {
  const read = (path: string): string => readFileSync(join(root, path), 'utf8');
  const files = new Map([[`${chartCopies}/alerts.rules.yaml`, read('deploy/prometheus/alerts.rules.yaml')]]);
  for (const name of readdirSync(join(root, 'deploy/grafana/dashboards')))
    files.set(`${chartCopies}/dashboards/${name}`, read(`deploy/grafana/dashboards/${name}`));
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
