/** Renders the report of a study as one self-contained HTML page without scripts. */
import { count, significant } from '../output/numbers.js';
import type { Column } from '../output/table.js';
import { escapeHtml, lineChart, type Series, type SeriesColor } from '../page/line-chart.js';
import { pageStyle } from '../page/page-style.js';
import { armColumns, comparisonColumns } from './report-tables.js';
import type { MetricReport, StudyReport } from './study-report.js';

export function studyPage(report: StudyReport): string {
  const compared = report.runs.filter((run) => run.compared);
  const colors = new Map(
    [...new Set(report.metrics.flatMap(({ curves }) => curves.map(({ arm }) => arm)))].map((arm, k) => [arm, colorOf(k)]),
  );
  const title = `Study ${report.study}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${pageStyle}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p>${count(compared.length)} of ${count(report.runs.length)} runs are compared. Intervals are of 95 %; bands are Student's intervals of the mean over the seeds. Tests are two-sided and paired by seed; HOLM is the p-value before it, corrected over the comparisons of the table.</p>
${report.fingerprint ? `<p class="muted">Fingerprint of the compared runs: <code>${escapeHtml(report.fingerprint)}</code></p>` : ''}
${report.notes.map((note) => `<p>${escapeHtml(note)}</p>`).join('\n')}
<div class="charts">
${report.metrics
  .filter(({ curves }) => curves.length > 0)
  .map((metric) => chartOf(metric, colors))
  .join('\n')}
</div>
${report.metrics.map(sectionOf).join('\n')}
<h2>Runs</h2>
${tableOf(report.runs, [
  { title: 'RUN', value: ({ run }) => run },
  { title: 'ARM', value: ({ arm }) => arm },
  { title: 'SEED', value: ({ seed }) => seed },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'STEPS', value: ({ totalSteps }) => count(totalSteps) },
  { title: 'COMPARED', value: ({ compared: isCompared }) => (isCompared ? 'yes' : 'no') },
])}
</main>
</body>
</html>
`;
}

const colorOf = (k: number): SeriesColor => ((k % 6) + 1) as SeriesColor;

function chartOf({ metric, curves }: MetricReport, colors: ReadonlyMap<string, SeriesColor>): string {
  const series: Series[] = curves.map(({ arm, points }) => ({
    name: arm,
    color: colors.get(arm)!,
    points: points.map(({ epoch, mean }) => [epoch, mean]),
    dots: points.length <= 30,
    band: points.flatMap(({ epoch, low, high }) => (low === undefined || high === undefined ? [] : [[epoch, low, high] as const])),
  }));
  return lineChart({ title: metric, xTitle: 'epochs', series, format: (y) => significant(y, 4) });
}

function sectionOf({ metric, meaning, arms, comparisons }: MetricReport): string {
  return `<h2>${escapeHtml(metric)}</h2>
<p class="muted">${escapeHtml(meaning)}; here of the last epoch</p>
${tableOf(arms, armColumns)}
${comparisons.length > 0 ? `<p></p>${tableOf(comparisons, comparisonColumns)}` : ''}`;
}

function tableOf<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  const cell = (row: T, { value, align }: Column<T>) =>
    `<td${align === 'right' ? ' class="n"' : ''}>${escapeHtml(String(value(row) ?? '-'))}</td>`;
  const head = columns
    .map(({ title, align }) => `<th${align === 'right' ? ' class="n"' : ''}>${escapeHtml(title.toLowerCase())}</th>`)
    .join('');
  return `<div class="card"><table><tr>${head}</tr>
${rows.map((row) => `<tr>${columns.map((column) => cell(row, column)).join('')}</tr>`).join('\n')}
</table></div>`;
}
