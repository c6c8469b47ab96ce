/** `dropstream runs compare`: runs beside each other in the terminal. */
import type { Command } from 'commander';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { type ComparedRun, compareRuns, type Score } from '../compare/compare-runs.js';
import type { Context } from '../context.js';
import { CommandError } from '../exit-codes.js';
import { count, significant } from '../output/numbers.js';
import { type Column, tableLines } from '../output/table.js';
import { fullName, printJson, type SharedOptions, withClient, withSharedOptions } from './shared-options.js';

export function addRunsCompare(runs: Command, context: Context): void {
  withSharedOptions(
    runs.command('compare <runs...>').description('show how far and how well runs were trained, and the options in which they differ'),
    ['trainer'],
  ).action(async (given: string[], options: SharedOptions) => {
    const names = [...new Set(given.map((name) => fullName('runs', name, options)))];
    if (names.length < 2) throw new CommandError('runs compare takes at least two runs', 2);
    const { terminal } = context;
    const compared = await withClient(TrainerServiceClient, 'trainer', options, context, (client, call) =>
      compareRuns(names, { client, call }, (k) => terminal.status(`reading run ${k + 1} of ${names.length}`)),
    );
    terminal.status('');
    if (options.json) return printJson(context, compared);
    for (const line of tableLines(compared.runs, runColumns)) terminal.out(line);
    terminal.out('');
    if (compared.differences.length === 0) return terminal.out('All options are equal.');
    const columnOf = (k: number): Column<(typeof compared.differences)[number]> => ({
      title: compared.runs[k]!.run,
      value: ({ values }) => values[k],
      align: 'left',
    });
    for (const line of tableLines(compared.differences, [
      { title: 'OPTION', value: ({ name }) => name },
      ...names.map((_, k) => columnOf(k)),
    ]))
      terminal.out(line);
  });
}

const loss = (value: number | undefined) => value && significant(value, 4);
const percent = (value: number | undefined) => (value === undefined ? undefined : `${value.toFixed(2)} %`);

const scoreColumns = (
  title: string,
  of: (run: ComparedRun) => Score,
  text: (value: number | undefined) => string | number | undefined,
): Column<ComparedRun>[] => [
  { title, value: (run) => text(of(run).last), align: 'right' },
  { title: 'BEST', value: (run) => text(of(run).best), align: 'right' },
];

const runColumns: readonly Column<ComparedRun>[] = [
  { title: 'RUN', value: ({ run }) => run },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'STEP', value: ({ step }) => count(step), align: 'right' },
  { title: 'OF', value: ({ totalSteps }) => count(totalSteps), align: 'right' },
  ...scoreColumns('TRAIN LOSS', ({ trainLoss }) => trainLoss, loss),
  ...scoreColumns('EVAL LOSS', ({ evalLoss }) => evalLoss, loss),
  ...scoreColumns('TOP-1', ({ top1 }) => top1, percent),
  {
    title: 'IMAGES/S',
    value: ({ imagesPerSecond }) => (imagesPerSecond === undefined ? undefined : count(imagesPerSecond)),
    align: 'right',
  },
];
