/** The report of a study as the data of a page of reports. */
import type { ReportData, ReportLine, ReportTable } from '#client/report-data.js';
import { count } from '../output/numbers.js';
import type { Column } from '../output/table.js';
import { armColumns, comparisonColumns } from './report-tables.js';
import type { MetricReport, StudyReport } from './study-report.js';

/** @param made when, in ISO 8601 */
export function studyPage(report: StudyReport, made: string): ReportData {
  const compared = report.runs.filter((run) => run.compared);
  return {
    title: `Study ${report.study}`,
    summary:
      `${count(compared.length)} of ${count(report.runs.length)} runs are compared. Intervals are of 95 %; bands are Student's intervals of the mean over the seeds. ` +
      'Tests are two-sided and paired by seed; Holm is the p-value before it, corrected over the comparisons of the table.',
    made,
    facts: [],
    runs: [],
    study: {
      notes: report.notes,
      charts: report.metrics.flatMap(({ metric, curves }) => (curves.length === 0 ? [] : [{ title: metric, lines: curves.map(lineOf) }])),
      sections: [...report.metrics.map(sectionOf), { title: 'Runs', text: '', tables: [tableOf(report.runs, runColumns)] }],
    },
    images: [],
    environment: report.fingerprint === '' ? [] : [['Fingerprint of the compared runs', report.fingerprint]],
    commands: [],
  };
}

const lineOf = ({ arm, points }: MetricReport['curves'][number]): ReportLine => ({
  arm,
  points: points.map(({ epoch, mean, low, high }) => (low === undefined || high === undefined ? [epoch, mean] : [epoch, mean, low, high])),
});

const sectionOf = ({ metric, meaning, arms, comparisons }: MetricReport) => ({
  title: metric,
  text: `${meaning}; here of the last epoch`,
  tables: [tableOf(arms, armColumns), ...(comparisons.length > 0 ? [tableOf(comparisons, comparisonColumns)] : [])],
});

const runColumns: readonly Column<StudyReport['runs'][number]>[] = [
  { title: 'RUN', value: ({ run }) => run },
  { title: 'ARM', value: ({ arm }) => arm },
  { title: 'SEED', value: ({ seed }) => seed },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'STEPS', value: ({ totalSteps }) => count(totalSteps), align: 'right' },
  { title: 'COMPARED', value: ({ compared }) => (compared ? 'yes' : 'no') },
];

const tableOf = <T>(rows: readonly T[], columns: readonly Column<T>[]): ReportTable => ({
  columns: columns.map(({ title, align }) => ({ title: titleOf(title), isNumber: align === 'right' })),
  rows: rows.map((row) => columns.map(({ value }) => String(value(row) ?? '–'))),
});

/** Titles of the terminal are in capitals: `95 % (T)` becomes `95 % (t)`, and `ARM` becomes `Arm`. */
const titleOf = (title: string): string => title.charAt(0) + title.slice(1).toLowerCase();
