/** `dropstream runs report`: the views of the console on some runs as one file. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import type { ReportRun } from '#client/report-data.js';
import { shortNames } from '#errors/short-names.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import type { Context } from '../context.js';
import { CommandError } from '../exit-codes.js';
import { count } from '../output/numbers.js';
import { readReportRun } from '../report/read-run.js';
import { checkFolderOf, reportPage, writeReportFile } from '../report/report-file.js';
import { fullName, printJson, type SharedOptions, shortName, withClient, withSharedOptions } from './shared-options.js';

interface ReportOptions extends SharedOptions {
  readonly out: string;
  readonly title?: string;
}

/** More lines in a chart cannot be told apart. */
const MOST_RUNS = 12;

export function addRunsReport(runs: Command, context: Context): void {
  withSharedOptions(
    runs.command('report <runs...>').description('write runs with their curves, logs and options, and how they compare, as one HTML file'),
    ['trainer'],
  )
    .option('--out <file>', 'file to write', 'report.html')
    .option('--title <text>', 'heading of the report (default: the ids of the runs)')
    .action((names: string[], options: ReportOptions) => writeReport(names, options, context));
}

async function writeReport(given: readonly string[], options: ReportOptions, context: Context): Promise<void> {
  const names = [...new Set(given.map((name) => fullName('runs', name, options)))];
  if (names.length > MOST_RUNS) throw new CommandError(`a report has at most ${MOST_RUNS} runs, and ${names.length} are given`, 2);
  const file = resolve(context.cwd, options.out);
  await checkFolderOf('out', file);
  const fill = await reportPage();
  const { terminal } = context;
  const runs = await withClient(TrainerServiceClient, 'trainer', options, context, async (client, call) => {
    const read: ReportRun[] = [];
    for (const name of names) {
      const onProgress = (done: bigint, all: bigint) =>
        terminal.status(`reading ${shortName(name)}: record ${count(done)} of ${count(all)}`);
      read.push(await readReportRun(name, { client, call, onProgress }));
    }
    return read;
  });
  terminal.status('');
  const page = fill({
    title: options.title ?? shortNames(names).join(', '),
    summary: '',
    made: new Date().toISOString(),
    facts: [],
    runs,
    images: [],
    environment: [],
    commands: [],
  });
  await writeReportFile('out', file, page);
  if (options.json) printJson(context, { report: file, runs: names });
  else terminal.out(`wrote ${file} (${pathToFileURL(file).href})`);
}
