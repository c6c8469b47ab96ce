/** The report of a simulation: one page without scripts and without anything from elsewhere. */
import { type LargeFigures, runSeconds } from './large.js';
import { escapeHtml, lineChart, type Series } from './line-chart.js';
import type { MeasuredRequests } from './measure-requests.js';
import type { Outcome } from './outcome.js';
import { pageStyle } from './page-style.js';
import type { Sample } from './simulation.js';
import type { NodeKind, World } from './world.js';

export interface Report {
  readonly runs: number;
  readonly trace: string;
  readonly workHours: number;
  readonly world: World;
  readonly outcomes: readonly { readonly outcome: Outcome; readonly samples: readonly Sample[] }[];
  readonly measured: MeasuredRequests;
  readonly large: readonly LargeFigures[];
}

export function reportPage(report: Report): string {
  const { runs, trace, workHours, outcomes, world } = report;
  const [keda, ...others] = outcomes.map(({ outcome }) => outcome);
  const cheapest = Math.min(...others.map(({ cost }) => cost));
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Dropstream: a simulated day</title>
<style>${pageStyle}
main .card + p { margin-top: 12px; }
.charts { grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); }</style></head>
<body><main>
<h1>A day of ${runs.toLocaleString('en-US')} runs</h1>
<p class="muted">${escapeHtml(trace)}; ${fixed(workHours, 0)} hours of training. Virtual time; the number of workers that KEDA is told comes from the shipped scaler.</p>
<div class="facts">
${fact(time(keda!.queueing.p95), 'queueing delay, 95th percentile, with the scaler')}
${fact(percent(keda!.utilisation), 'of the slots that were paid for computed')}
${fact(`$${fixed(keda!.cost, 0)}`, `cost; ${change(keda!.cost, cheapest)} than the cheapest of the others`)}
${fact(String(keda!.stoppedWhileBusy), `workers stopped by scaling while they worked; ${others.map(({ fleet, stoppedWhileBusy }) => `${fleet}: ${stoppedWhileBusy}`).join(', ')}`)}
</div>
<h2>Compared</h2>
<div class="card">${comparison(outcomes.map(({ outcome }) => outcome))}</div>
<h2>Through the day</h2>
<div class="charts">
${chart(outcomes, 'Workers', ({ workers }) => workers)}
${chart(outcomes, 'Runs that wait', ({ waiting }) => waiting)}
${chart(outcomes, 'Nodes', ({ nodes }) => nodes)}
${scalerChart(outcomes[0]!.samples)}
</div>
<h2>What was assumed</h2>
<div class="card">${nodesTable(world.kinds)}</div>
<p class="muted">A worker is evicted every ${hours(world.meanEvictionSeconds)} on average, with time for a checkpoint. A node that is lost takes its runs back to their last
checkpoint (every ${time(world.checkpointSeconds)}); others find out ${time(world.leaseSeconds)} later. An empty node is given back after ${time(world.emptyNodeSeconds)}. A worker starts in ${time(world.workerStartSeconds)}, and in ${time(world.workerStartSeconds + world.pullSeconds)} where the image is pulled. At most ${world.maxWorkers} workers.</p>
<h2>Very many workers</h2>
<p>Requests of the store each second, if every worker has a run, a tenth as many more have none, and runs take ${time(runSeconds)}. Counted on this checkout: a worker
whose slots are taken asks nothing about the queue. A look takes ${report.measured.look.fixed} request and ${report.measured.look.perEntry} for every run that others train;
while runs wait, ${report.measured.waiting.fixed}, and ${report.measured.waiting.perEntry} for each until it is ${report.measured.waiting.most}. A sweep, which finds owners that are gone,
takes ${report.measured.sweep.fixed} and ${report.measured.sweep.perEntry} for every run. The owner of a run polls its log with ${report.measured.ownerPoll}, and shows with ${report.measured.signsOfLife} that it is alive.</p>
<div class="card">${largeTable(report.large)}</div>
<p>Listings take a request for every 1,000 runs. All workers without a run together look about eight times in each ${world.pollSeconds} s, until each of them waits ten times as
long. In version 0.2, every worker read every run in the queue, also while it had one, so that looks grew with the square of the workers. The scaler
rereads at most 50 runs a second, whatever their number. A log grows by at most 86,400 records a day.</p>
</main></body></html>
`;
}

const fixed = (value: number, digits: number): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (share: number): string => `${fixed(100 * share, share < 0.1 ? 2 : 1)} %`;
const hours = (seconds: number): string => (seconds === Number.POSITIVE_INFINITY ? 'never' : `${fixed(seconds / 3600, 0)} h`);
const time = (seconds: number): string =>
  seconds < 120
    ? `${fixed(seconds, seconds < 10 ? 1 : 0)} s`
    : seconds < 7200
      ? `${fixed(seconds / 60, 1)} min`
      : `${fixed(seconds / 3600, 1)} h`;
const change = (of: number, than: number): string => `${fixed(Math.abs(100 * (of / than - 1)), 0)} % ${of < than ? 'less' : 'more'}`;
const fact = (value: string, what: string): string => `<div class="fact"><b>${escapeHtml(value)}</b><span>${escapeHtml(what)}</span></div>`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[], tag: 'th' | 'td') =>
    `<tr>${cells.map((cell, k) => `<${tag}${k === 0 ? '' : ' class="n"'}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>${row(head, 'th')}${rows.map((cells) => row(cells, 'td')).join('\n')}</table>`;
}

function comparison(outcomes: readonly Outcome[]): string {
  const rows: readonly (readonly [string, (outcome: Outcome) => string])[] = [
    ['queueing delay: mean', ({ queueing }) => time(queueing.mean)],
    ['median', ({ queueing }) => time(queueing.p50)],
    ['95th percentile', ({ queueing }) => time(queueing.p95)],
    ['99th percentile', ({ queueing }) => time(queueing.p99)],
    ['longest', ({ queueing }) => time(queueing.max)],
    ['utilisation', ({ utilisation }) => percent(utilisation)],
    ['cost', ({ cost }) => `$${fixed(cost, 2)}`],
    ['work computed twice', ({ lostHours, lostShare }) => `${fixed(lostHours, 1)} h (${percent(lostShare)})`],
    ['most workers', ({ mostWorkers }) => String(mostWorkers)],
    ['stopped by scaling, while busy', ({ stoppedByScaling, stoppedWhileBusy }) => `${stoppedByScaling}, ${stoppedWhileBusy}`],
    ['evicted, lost with a node', ({ evictions, spotLosses }) => `${evictions}, ${spotLosses}`],
    ['attempts', ({ attempts }) => attempts.toLocaleString('en-US')],
    ['runs that did not end', ({ unfinished }) => String(unfinished)],
  ];
  return table(
    ['', ...outcomes.map(({ fleet }) => fleet)],
    rows.map(([name, of]) => [name, ...outcomes.map(of)]),
  );
}

function chart(outcomes: Report['outcomes'], title: string, of: (sample: Sample) => number): string {
  const series = outcomes.map(({ outcome, samples }, k): Series => {
    const color = ((k % 3) + 1) as Series['color'];
    return { name: outcome.fleet, color, points: samples.map((sample) => [sample.at / 3600, of(sample)] as const) };
  });
  return lineChart({ title, xTitle: 'hour', series, format: (y) => fixed(y, 0), yMin: 0 });
}

function scalerChart(samples: readonly Sample[]): string {
  const points = (of: (sample: Sample) => number) => samples.map((sample) => [sample.at / 3600, of(sample)] as const);
  const series: Series[] = [
    { name: 'wanted', color: 2, points: points(({ waiting, owned }) => waiting + owned) },
    { name: 'workers', color: 1, points: points(({ workers }) => workers) },
  ];
  return lineChart({ title: 'With the scaler: wanted and there', xTitle: 'hour', series, format: (y) => fixed(y, 0), yMin: 0 });
}

function nodesTable(kinds: readonly NodeKind[]): string {
  const rows = kinds.map(({ name, slots, speed, pricePerHour, startSeconds, meanLifeSeconds, maxNodes }) => [
    ...[name, String(slots), String(speed), `$${fixed(pricePerHour, 2)}`, time(startSeconds), hours(meanLifeSeconds), String(maxNodes)],
  ]);
  return table(['node', 'workers', 'speed', 'price per hour', 'start', 'lost after (mean)', 'most'], rows);
}

function largeTable(large: readonly LargeFigures[]): string {
  const rows = large.map((of) => [
    of.workers.toLocaleString('en-US'),
    ...[of.looks, of.sweeps, of.claims, of.owners, of.heartbeats, of.records, of.scaler, of.looksOf02].map((value) =>
      fixed(value, value < 10 ? 1 : 0),
    ),
    String(of.queuePages),
  ]);
  const rates = ['looks', 'sweeps', 'claims', 'owners of runs', 'signs of life', 'records of steps', 'scaler', 'looks in version 0.2'];
  return table(['workers', ...rates, 'requests that list the queue'], rows);
}
