/** `dropstream study …`: compares arms over seeds. A study is runs with the labels study, arm and seed. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { invalid, NotFound } from '#errors/errors.js';
import { type Run, RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import type { Context } from '../context.js';
import { tableLines } from '../output/table.js';
import { checkFolderOf, type FillReport, reportPage, writeReportFile } from '../report/report-file.js';
import { type CreateOptions, createStudy } from '../study/create-study.js';
import { type EvaluateStudyOptions, evaluateStudy } from '../study/evaluate-study.js';
import { lineNotes, readLines, type StudyLine } from '../study/lines-file.js';
import { measureStudy } from '../study/measure-study.js';
import { armColumns, comparisonColumns } from '../study/report-tables.js';
import { readStudy, type Study } from '../study/study-file.js';
import { studyPage } from '../study/study-page.js';
import { reportOf, type StudyReport } from '../study/study-report.js';
import { runsWithLabel } from '../study/study-runs.js';
import { printJson, projectName, type SharedOptions, withClient, withSharedOptions } from './shared-options.js';

interface ReportFlags extends SharedOptions {
  readonly baseline?: string;
  readonly anyFingerprint?: boolean;
  readonly page?: string;
  readonly lines?: string;
}

export function addStudyCommand(program: Command, context: Context): void {
  const study = program.command('study').description('compare arms, which are sets of options of `train`, over several seeds');

  withSharedOptions(
    study
      .command('create <file>')
      .description('create a run for each arm and seed of a file and follow them to their end; given again, the same command goes on'),
    ['trainer'],
  )
    .option(
      '--store <uri>',
      'object store for the manifests of data_path (default: DROPSTREAM_STORE, or the store of the running `dropstream up`)',
    )
    .option('--detach', 'create the runs, as many as may be in flight, and exit; do not wait for them')
    .addHelpText('after', `\nA file:\n\n${exampleFile}`)
    .action(async (file: string, options: CreateOptions) => createStudy(await studyIn(file, context), options, context));

  withSharedOptions(
    study.command('status <study>').description('show how many runs of each arm have ended, run and wait; takes a name or a file'),
    ['trainer'],
  ).action((given: string, options: SharedOptions) => showStatus(given, options, context));

  withSharedOptions(
    study
      .command('report <study>')
      .description('compare the arms: means, 95 % intervals, paired tests over the seeds and curves; takes a name or a file'),
    ['trainer', 'evaluator'],
  )
    .option('--baseline <arm>', 'arm that all others are compared with (default: that of the file; with a name, each arm with each)')
    .option(
      '--any-fingerprint',
      'compare runs with different fingerprints, too: they are of different processors, engines, builds or shapes',
    )
    .option('--lines <file>', 'read the runs from the lines of `study evaluate --lines` instead of asking the services')
    .option('--page <file>', 'write the report with its charts as one HTML page, with the views of the console')
    .action((given: string, options: ReportFlags) => showReport(given, options, context));

  withSharedOptions(
    study
      .command('evaluate <study>')
      .description(
        'compute the loss of every run that has succeeded on its training images, without dropout and augmentation, for the report; given again, it goes on',
      ),
    ['trainer', 'evaluator'],
  )
    .option('--detach', 'create the evaluations and exit; do not wait for them')
    .option(
      '--lines <file>',
      'append one line of JSON for each run that is evaluated and has none in the file yet, for `study report --lines`',
    )
    .action(async (given: string, options: EvaluateStudyOptions) => evaluateStudy((await studyOf(given, context)).name, options, context));
}

const exampleFile = `  study: early-dropout
  options: { model: vit_tiny, data_path: data/cifar10, epochs: 30, batch_size: 128 }
  arms:
    none: {}
    early: { dropout: 0.1, drop_mode: early, cutoff_epoch: 10 }
  seeds: 5                # or a list: [1, 2, 3, 4, 5]
  baseline: none          # default: the first arm
  in_flight: 2            # default: all runs are created at once
  stop_failed_arms: true  # default; a failed run ends the other runs of its arm`;

const isFile = (given: string): boolean => /\.(ya?ml|json)$/i.test(given);

async function studyIn(file: string, { cwd }: Context): Promise<Study> {
  const path = resolve(cwd, file);
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') throw new NotFound('file', path, { cause });
    throw invalid('file', path, `a file that can be read: ${cause.message}`);
  });
  return readStudy(text);
}

/** The study of a file, or only its name. @throws InvalidArgument */
async function studyOf(given: string, context: Context): Promise<Pick<Study, 'name'> & Partial<Study>> {
  if (isFile(given)) return await studyIn(given, context);
  if (!/^[a-z][a-z0-9-]*$/.test(given)) throw invalid('study', given, 'the name of a study, or a file that ends in .yaml, .yml or .json');
  return { name: given };
}

interface ArmStatus {
  readonly arm: string;
  readonly runs: readonly Run[];
  /** Runs that the file has; absent without one. */
  readonly planned: number | undefined;
}

async function showStatus(given: string, options: SharedOptions, context: Context): Promise<void> {
  const { name, arms, seeds } = await studyOf(given, context);
  const runs = await withClient(TrainerServiceClient, 'trainer', options, context, (client, call) =>
    runsWithLabel(name, { client, parent: projectName(options), call }),
  );
  if (runs.length === 0 && arms === undefined) throw new NotFound('study', name);
  const names = new Set([...(arms ?? []).map((arm) => arm.name), ...runs.map(({ labels }) => labels.arm ?? '').sort()]);
  const rows: ArmStatus[] = [...names].map((arm) => ({
    arm,
    runs: runs.filter(({ labels }) => (labels.arm ?? '') === arm),
    planned: seeds?.length,
  }));
  const of = (state: RunState) => (row: ArmStatus) => row.runs.filter((run) => run.state === state).length;
  const done = (row: ArmStatus) => row.runs.reduce((sum, run) => sum + Number(run.step) / Math.max(1, Number(run.totalSteps)), 0);
  if (options.json) {
    const states = Object.fromEntries(shownStates.map((state) => [RunState[state].toLowerCase(), of(state)]));
    const armsAsJson = rows.map((row) => ({
      arm: row.arm,
      ...(row.planned !== undefined && { planned: row.planned }),
      ...Object.fromEntries(Object.entries(states).map(([state, number]) => [state, number(row)])),
      done: done(row) / (row.planned ?? row.runs.length),
    }));
    return printJson(context, { study: name, arms: armsAsJson });
  }
  const columns = [
    { title: 'ARM', value: (row: ArmStatus) => row.arm },
    { title: 'OF', value: (row: ArmStatus) => row.planned ?? row.runs.length },
    ...shownStates.map((state) => ({ title: RunState[state], value: of(state) })),
    { title: 'DONE', value: (row: ArmStatus) => `${Math.round((100 * done(row)) / (row.planned ?? row.runs.length))} %` },
  ];
  for (const line of tableLines(rows, columns)) context.terminal.out(line);
  for (const run of runs.filter(({ failure }) => failure !== '')) context.terminal.err(`${run.name} failed: ${run.failure}`);
}

const shownStates = [RunState.SUCCEEDED, RunState.RUNNING, RunState.QUEUED, RunState.PAUSED, RunState.FAILED, RunState.CANCELLED];

async function showReport(given: string, options: ReportFlags, context: Context): Promise<void> {
  const { name, arms, baseline: ofFile } = await studyOf(given, context);
  const baseline = options.baseline ?? ofFile ?? '';
  const page = options.page === undefined ? undefined : await pageToWrite(resolve(context.cwd, options.page));
  const lines = options.lines === undefined ? undefined : await linesOf(name, resolve(context.cwd, options.lines));
  const measured = lines ?? (await measureStudy(name, options, context));
  if (options.baseline !== undefined && !measured.some(({ arm }) => arm === baseline)) throw new NotFound('arm', baseline);
  const compared = reportOf(name, measured, {
    baseline,
    anyFingerprint: options.anyFingerprint ?? false,
    ...(arms && { arms: arms.map((arm) => arm.name) }),
  });
  const report = { ...compared, notes: [...compared.notes, ...lineNotes(lines ?? [])] };
  if (page !== undefined) {
    await writeReportFile('page', page.path, page.fill(studyPage(report, new Date().toISOString())));
    context.terminal.err(`wrote ${page.path}`);
  }
  if (options.json) printJson(context, report);
  else printReport(report, context);
}

/** @throws NotFound if the file has none of this study */
async function linesOf(study: string, path: string): Promise<StudyLine[]> {
  const lines = (await readLines('lines', path)).filter((line) => line.study === study);
  if (lines.length === 0) throw new NotFound('study', study, { why: `${path} has no line of it` });
  return lines;
}

/** What would keep the page from being written is said before the runs are measured, which takes long. */
async function pageToWrite(path: string): Promise<{ readonly path: string; readonly fill: FillReport }> {
  await checkFolderOf('page', path);
  return { path, fill: await reportPage() };
}

function printReport(report: StudyReport, { terminal }: Context): void {
  for (const { metric, meaning, arms, comparisons } of report.metrics) {
    terminal.out(`${metric}: ${meaning}; here of the last epoch`);
    for (const line of tableLines(arms, armColumns)) terminal.out(line);
    if (comparisons.length > 0) for (const line of ['', ...tableLines(comparisons, comparisonColumns)]) terminal.out(line);
    terminal.out('');
  }
  if (report.fingerprint) terminal.out(`fingerprint ${report.fingerprint}`);
  for (const note of report.notes) terminal.out(note);
}
