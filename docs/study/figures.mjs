// Draws the figures of docs/study.md from docs/study/results, and prints its tables. Means, intervals and tests are those of `dropstream study report --lines`.
// Needs no services. Usage: node docs/study/figures.mjs [RESULTS [IMAGES]]
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const [results = join(here, 'results'), images = join(here, '../images')] = process.argv.slice(2);
const palette = ['#1f6fd1', '#c2410c', '#15803d', '#7c3aed', '#b91c1c', '#0e7490', '#a16207', '#4b5563'];
const [left, width, top, row] = [150, 260, 34, 26];
const linesOf = (file) => readFileSync(file, 'utf8').trim().split('\n').map(JSON.parse);
const short = (value) => (value === undefined ? '' : String(Number(value.toPrecision(4))));
const text = (x, y, what, more = '') => `<text x="${x}" y="${y}" ${more}>${what}</text>`;
const line = (x1, y1, x2, y2, more) => `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" ${more}/>`;

/** From values to pixels, with some room on both sides. */
function scale(values, from, to) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  const at = (value) => from + ((value - low + room) / (high - low + 2 * room)) * (to - from);
  return { at: (value) => Number(at(value).toFixed(1)), ticks: [0, 1, 2].map((k) => low + (k * (high - low)) / 2) };
}

const svg = (name, wide, high, title, parts) =>
  writeFileSync(
    join(images, `${name}.svg`),
    `<svg xmlns="http://www.w3.org/2000/svg" width="${wide}" height="${high}" viewBox="0 0 ${wide} ${high}" role="img" font-family="sans-serif" font-size="12" fill="#222">
<title>${title}</title>
<rect width="${wide}" height="${high}" fill="#fff"/>
${parts.join('\n')}
</svg>
`,
  );

/** One row for each arm: a dot for each seed, the mean, and its 95 % interval (Student). */
function dots(name, report, lines) {
  const shown = ['final_train_loss', 'top1'].flatMap((metric) => report.metrics.filter((one) => one.metric === metric));
  const bottom = top + row * Math.max(...shown.map(({ arms }) => arms.length));
  const parts = shown.flatMap(({ metric, arms }, panel) => {
    const begin = left + panel * (width + 30);
    const compared = new Set(report.runs.filter((run) => run.compared).map(({ run, fingerprint }) => `${run} ${fingerprint}`));
    const seeds = (arm) =>
      lines.filter((one) => one.arm === arm && compared.has(`${one.run} ${one.fingerprint}`)).map(({ last }) => last[metric]);
    const x = scale(
      arms.flatMap(({ arm, tInterval = [] }) => [...seeds(arm), ...tInterval]),
      begin,
      begin + width,
    );
    return [
      text(begin + width / 2, 20, metric, 'text-anchor="middle" font-weight="bold"'),
      ...x.ticks.flatMap((tick) => [
        line(x.at(tick), top, x.at(tick), bottom, 'stroke="#ddd"'),
        text(x.at(tick), bottom + 16, short(tick), 'text-anchor="middle" fill="#555"'),
      ]),
      ...arms.flatMap(({ arm, mean, tInterval }, k) => {
        const [y, color] = [top + row * (k + 0.5), palette[k % palette.length]];
        return [
          ...(panel === 0 ? [text(left - 10, y + 4, arm, 'text-anchor="end"')] : []),
          ...(tInterval
            ? [line(x.at(tInterval[0]), y, x.at(tInterval[1]), y, `stroke="${color}" stroke-width="3" stroke-opacity="0.5"`)]
            : []),
          ...seeds(arm).map((value) => `<circle cx="${x.at(value)}" cy="${y}" r="3" fill="none" stroke="${color}"/>`),
          line(x.at(mean), y - 8, x.at(mean), y + 8, `stroke="${color}" stroke-width="2.5"`),
        ];
      }),
    ];
  });
  svg(
    `study-${name}`,
    left + shown.length * (width + 30),
    bottom + 30,
    `${report.study}: ${shown.map(({ metric }) => metric).join(' and ')} of each arm`,
    parts,
  );
}

/** Statistics of gradients over the steps, each seed and the mean of the seeds: with drop broken, without drop whole. */
function curves(name, title, lines, panels) {
  const arms = [...new Set(lines.map(({ arm }) => arm))].sort((a, b) => (a === 'none' ? -1 : b === 'none' ? 1 : b.localeCompare(a, 'en')));
  const [begin, gap, bottom] = [50, 60, top + 200];
  const meanAt = (arm, wanted, of) => {
    const values = lines.filter((one) => one.arm === arm && one.wanted === wanted);
    const mean = (all) => all.reduce((sum, one) => sum + one, 0) / all.length;
    return [mean(values.map(({ step }) => step)), mean(values.map(of))];
  };
  const parts = panels.flatMap(([field, title], panel) => {
    const [x0, x1] = [begin + panel * (width + gap), begin + panel * (width + gap) + width];
    const drawn = arms.flatMap((arm, k) =>
      ['withoutDrop', 'withDrop'].map((drop) => ({
        all: lines.filter((one) => one.arm === arm).map((one) => [one.step, one[drop][field]]),
        style: `stroke="${palette[k]}" stroke-width="2" ${drop === 'withDrop' ? 'stroke-dasharray="5 4"' : ''}`,
        points: [...new Set(lines.filter((one) => one.arm === arm).map(({ wanted }) => wanted))]
          .sort((a, b) => a - b)
          .map((wanted) => meanAt(arm, wanted, (one) => one[drop][field])),
      })),
    );
    const x = scale([0, ...drawn.flatMap(({ all }) => all.map(([step]) => step))], x0, x1);
    const y = scale(
      drawn.flatMap(({ all }) => all.map(([, value]) => value)),
      bottom,
      top,
    );
    return [
      text((x0 + x1) / 2, 20, title, 'text-anchor="middle" font-weight="bold"'),
      ...y.ticks.flatMap((tick) => [
        line(x0, y.at(tick), x1, y.at(tick), 'stroke="#ddd"'),
        text(x0 - 4, y.at(tick) + 4, short(tick), 'text-anchor="end" fill="#555" font-size="10"'),
      ]),
      ...x.ticks.map((tick) => text(x.at(tick), bottom + 16, Math.round(tick), 'text-anchor="middle" fill="#555"')),
      ...drawn.flatMap(({ style, points, all }) => [
        `<polyline fill="none" ${style} points="${points.map(([step, value]) => `${x.at(step)},${y.at(value)}`).join(' ')}"/>`,
        ...all.map(([step, value]) => `<circle cx="${x.at(step)}" cy="${y.at(value)}" r="2" fill="none" ${style.split(' ')[0]}/>`),
      ]),
    ];
  });
  const legend = arms.map(
    (arm, k) =>
      line(begin + k * 180, bottom + 42, begin + 24 + k * 180, bottom + 42, `stroke="${palette[k]}" stroke-width="2"`) +
      text(begin + 30 + k * 180, bottom + 46, arm),
  );
  svg(name, Math.max(420, begin + panels.length * (width + gap)), bottom + 82, title, [
    ...parts,
    ...legend,
    text(begin, bottom + 70, 'over the steps; whole lines: without dropout, broken: with'),
  ]);
}

function table({ study, metrics }) {
  const rows = metrics
    .filter(({ metric }) => metric === 'final_train_loss' || metric === 'top1')
    .flatMap(({ metric, arms, comparisons }) =>
      arms.map(({ arm, runs, mean, tInterval }) => {
        const pair = comparisons.find((one) => one.arm === arm);
        const interval = (of) => (of ? `${short(of[0])} … ${short(of[1])}` : '');
        return [
          metric,
          arm,
          runs,
          short(mean),
          interval(tInterval),
          short(pair?.difference),
          interval(pair?.tInterval),
          short(pair?.pairedTCorrected),
          short(pair?.signFlip),
        ];
      }),
    );
  const head = ['metric', 'arm', 'runs', 'mean', '95 %', 'difference', '95 %', 'p (t, Holm)', 'p (signs)'];
  return [`${study}:`, '', head, head.map(() => '---'), ...rows]
    .map((one) => (Array.isArray(one) ? `| ${one.join(' | ')} |` : one))
    .join('\n');
}

for (const name of ['rates', 'underfitting', 'overfitting', 'sensitivity', 'gradients']) {
  const file = join(results, `${name}.jsonl`);
  if (!existsSync(file)) continue;
  const report = JSON.parse(
    execFileSync('dropstream', ['study', 'report', join(here, `${name}.yaml`), '--lines', file, '--json'], { encoding: 'utf8' }),
  );
  if (name !== 'gradients') dots(name, report, linesOf(file));
  console.log(`${table(report)}\n${report.notes.join('\n')}\n`);
}
const statistics = join(results, 'gradient-statistics.jsonl');
if (existsSync(statistics))
  curves('study-gradients', 'Statistics of gradients over the steps', linesOf(statistics), [
    ['norm', 'norm of the gradient'],
    ['variance', 'direction variance'],
    ['error', 'direction error'],
  ]);
const underfitting = join(results, 'underfitting.jsonl');
const adaptive = (existsSync(underfitting) ? linesOf(underfitting) : []).flatMap(({ arm, cutoffMeasurements = [] }) =>
  cutoffMeasurements.flatMap(({ step, errorWithDrop, errorWithoutDrop }) =>
    errorWithDrop === undefined
      ? []
      : [{ arm, step, wanted: step, withDrop: { error: errorWithDrop }, withoutDrop: { error: errorWithoutDrop } }],
  ),
);
if (adaptive.length > 0)
  curves('study-adaptive', 'What the adaptive cutoff measured, over the steps', adaptive, [['error', 'direction error']]);
