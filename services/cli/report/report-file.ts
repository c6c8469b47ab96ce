/** A report as one file: the page that the console's build has made, with the data in it. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ReportData } from '#client/report-data.js';
import { CommandError } from '../exit-codes.js';

/** Seen from the sources, and from compiled code in dist/services/cli/report. */
const places = ['../../gateway/console/report/dist/report.html', '../../../../services/gateway/console/report/dist/report.html'];

const start = '<script type="application/json" id="report-data">';

/** Fills the page. Whoever works for long before reads it first. */
export type FillReport = (data: ReportData) => string;

/** @throws CommandError if the page was not built */
export async function reportPage(): Promise<FillReport> {
  const file = places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find((place) => existsSync(place));
  if (file === undefined) throw new CommandError('the page of reports is not there; `npm run build` makes it');
  const [head, tail, ...more] = (await readFile(file, 'utf8')).split(start);
  if (tail === undefined || more.length > 0) throw new CommandError(`${file} is no page of reports; \`npm run build\` makes it again`);
  return (data) => `${head}${start}${jsonOf(data)}${tail}`;
}

/** As protobuf's JSON, where NaN and the infinities are strings; and nothing in it ends the element that it lies in. */
const jsonOf = (data: ReportData): string =>
  JSON.stringify(data, (_, value: unknown) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : value)).replaceAll(
    '<',
    '\\u003c',
  );
