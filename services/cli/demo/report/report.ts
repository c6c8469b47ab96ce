/** Renders the demo's report as one self-contained HTML page without scripts. */
import { count, duration, significant } from '../../output/numbers.js';
import { escapeHtml, lineChart, type Series } from '../../page/line-chart.js';
import { pageStyle } from '../../page/page-style.js';

export interface ReportStep {
  readonly step: number;
  readonly loss: number;
  readonly lr: number;
  readonly dropRate: number;
}
export interface ReportEpoch {
  /** Epoch, from 0. */
  readonly epoch: number;
  readonly loss: number;
  readonly lr: number;
  readonly dropRate: number;
  readonly imagesPerSecond: number;
  /** In percent; absent if the epoch was not evaluated. */
  readonly top1?: number | undefined;
  readonly evalLoss?: number | undefined;
}
export interface Report {
  readonly title: string;
  readonly summary: string;
  readonly model: string;
  readonly parameters: number;
  readonly trainSamples: number;
  readonly testSamples: number;
  /** Wall-clock seconds of training. */
  readonly trainSeconds: number;
  readonly stepsPerEpoch: number;
  readonly steps: readonly ReportStep[];
  readonly epochs: readonly ReportEpoch[];
  readonly result: {
    /** In percent. */
    readonly top1: number;
    readonly top5: number;
    readonly loss: number;
    readonly classes: readonly { readonly name: string; readonly correct: number; readonly samples: number }[];
  };
  readonly sheet: readonly { readonly png: Uint8Array; readonly className: string; readonly steps: readonly string[] }[];
  readonly options: readonly (readonly [string, string])[];
  readonly environment: readonly (readonly [string, string])[];
  /** Shell commands to try next. */
  readonly next: readonly string[];
}

export function reportPage(report: Report): string {
  const { result } = report;
  const speeds = report.epochs.map((epoch) => epoch.imagesPerSecond);
  const speed = speeds.reduce((a, b) => a + b, 0) / Math.max(1, speeds.length);
  const facts: [string, string][] = [
    [`${result.top1.toFixed(2)} %`, 'top-1 by the evaluator'],
    [`${result.top5.toFixed(2)} %`, 'top-5'],
    [result.loss.toFixed(4), 'test loss'],
    [count(speed), 'images/s in training'],
    [duration(report.trainSeconds), 'training'],
    [count(report.parameters), 'parameters'],
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(report.title)}</title><style>${pageStyle}</style></head>
<body><main>
<h1>${escapeHtml(report.title)}</h1>
<p class="muted">${escapeHtml(report.summary)}</p>
<div class="facts">${facts.map(([value, label]) => `<div class="fact"><b>${escapeHtml(value)}</b><span>${escapeHtml(label)}</span></div>`).join('')}</div>
<h2>Training</h2>
<div class="charts">${charts(report).join('\n')}</div>
<h2>Epochs</h2>
<div class="card">${epochTable(report)}</div>
<h2>Accuracy by class</h2>
<div class="card">${classTable(report)}</div>
<h2>What the model sees</h2>
<p class="muted">These are the first images of the first batch, augmented as in training. The data service rendered them (PreviewBatch).</p>
<div class="sheet">${report.sheet.map(sheetImage).join('')}</div>
<div class="two">
<div><h2>Options</h2><div class="card">${keyValues(report.options)}</div></div>
<div><h2>Environment</h2><div class="card">${keyValues(report.environment)}</div></div>
</div>
<h2>What to try next</h2>
<pre>${report.next.map(escapeHtml).join('\n')}</pre>
</main></body></html>
`;
}

function charts({ steps, epochs, stepsPerEpoch }: Report): string[] {
  const at = (step: number) => step / Math.max(1, stepsPerEpoch);
  const raw = steps.map((s) => [at(s.step), s.loss] as const);
  const loss: Series[] = [
    { name: 'training, each step', color: 1, faint: true, points: raw },
    { name: 'training', color: 1, points: smoothed(raw) },
    {
      name: 'test',
      color: 2,
      dots: true,
      points: epochs.filter((e) => e.evalLoss !== undefined).map((e) => [e.epoch + 1, e.evalLoss!] as const),
    },
  ];
  const accuracy: Series[] = [
    { name: 'top-1', color: 2, dots: true, points: epochs.filter((e) => e.top1 !== undefined).map((e) => [e.epoch + 1, e.top1!] as const) },
  ];
  const xMax = Math.max(1, epochs.length, ...steps.slice(-1).map((s) => at(s.step + 1)));
  const xTitle = 'epoch';
  return [
    lineChart({ title: 'Loss', xTitle, xMax, yMin: 0, series: loss, format: (y) => y.toFixed(2) }),
    lineChart({ title: 'Top-1 on the test images, %', xTitle, xMax, yMax: 100, series: accuracy, format: (y) => y.toFixed(1) }),
    lineChart({
      title: 'Learning rate',
      xTitle,
      xMax,
      yMin: 0,
      series: [{ name: 'lr', color: 1, points: steps.map((s) => [at(s.step), s.lr] as const) }],
      format: (y) => significant(y, 2),
    }),
    lineChart({
      title: 'Drop rate (early dropout)',
      xTitle,
      xMax,
      yMin: 0,
      series: [{ name: 'drop rate', color: 3, points: steps.map((s) => [at(s.step), s.dropRate] as const) }],
      format: (y) => significant(y, 2),
    }),
  ];
}

/** Exponential moving average over about 40 steps, with bias correction. */
function smoothed(points: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const keep = 1 - 1 / 40;
  let [sum, weight] = [0, 0];
  return points.map(([x, y]) => {
    sum = sum * keep + y;
    weight = weight * keep + 1;
    return [x, sum / weight] as const;
  });
}

function epochTable({ epochs }: Report): string {
  const head = ['epoch', 'training loss', 'learning rate', 'drop rate', 'images/s', 'test loss', 'top-1'];
  const rows = epochs.map((e) => [
    String(e.epoch + 1),
    e.loss.toFixed(4),
    significant(e.lr, 3),
    significant(e.dropRate, 3),
    count(e.imagesPerSecond),
    e.evalLoss === undefined ? '–' : e.evalLoss.toFixed(4),
    e.top1 === undefined ? '–' : `${e.top1.toFixed(2)} %`,
  ]);
  const cells = (tag: string, row: readonly string[]) =>
    `<tr>${row.map((text) => `<${tag} class="n">${escapeHtml(text)}</${tag}>`).join('')}</tr>`;
  return `<table>${cells('th', head)}${rows.map((row) => cells('td', row)).join('')}</table>`;
}

function classTable({ result }: Report): string {
  const rows = result.classes.map(({ name, correct, samples }) => {
    const share = samples === 0 ? 0 : (100 * correct) / samples;
    return `<tr><td class="key">${escapeHtml(name)}</td><td class="bars"><div class="bar"><i style="width:${share.toFixed(1)}%"></i></div></td><td class="n">${share.toFixed(1)} %</td><td class="n muted">${count(correct)} of ${count(samples)}</td></tr>`;
  });
  return `<table>${rows.join('')}</table>`;
}

function sheetImage({ png, className, steps }: Report['sheet'][number]): string {
  const done = steps.join('; ');
  return `<div title="${escapeHtml(done)}"><img alt="${escapeHtml(className)}" src="data:image/png;base64,${Buffer.from(png).toString('base64')}">${escapeHtml(className)}</div>`;
}

const keyValues = (pairs: Report['options']): string =>
  `<table>${pairs.map(([key, value]) => `<tr><td class="key">${escapeHtml(key)}</td><td>${escapeHtml(value)}</td></tr>`).join('')}</table>`;
