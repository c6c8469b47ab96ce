/** A report as one file: the page that the console's build has made, with the data in it. */
import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ReportData } from '#client/report-data.js';
import { invalid } from '#errors/errors.js';
import { CommandError } from '../exit-codes.js';
import { anyNumber } from '../output/json.js';

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
const jsonOf = (data: ReportData): string => JSON.stringify(data, anyNumber).replaceAll('<', '\\u003c');

/** Said before the runs are read, which takes long. @param option the one that names the file @throws InvalidArgument */
export async function checkFolderOf(option: string, file: string): Promise<void> {
  const folder = await stat(dirname(file)).catch(() => undefined);
  if (!folder?.isDirectory()) throw invalid(option, file, 'a file in a folder that exists');
}

/** @throws InvalidArgument */
export async function writeReportFile(option: string, file: string, page: string): Promise<void> {
  await writeFile(file, page).catch((cause: Error) => {
    throw invalid(option, file, `a file that can be written: ${cause.message}`);
  });
}
