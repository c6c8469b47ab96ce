// Measures the gradients of the runs of gradients.yaml along their training, and appends one line of JSON for each measurement to FILE. What FILE has is not measured
// again. Usage: node docs/study/gradients.mjs STUDY FILE [MINI-BATCHES] [STEP,STEP,…]
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

const [study, file, batches = '32', steps = '100,300,938,1876,2814'] = process.argv.slice(2);
/** What `dropstream … --json` prints. */
const ask = (...argv) => JSON.parse(execFileSync('dropstream', [...argv, '--json'], { encoding: 'utf8', maxBuffer: 2 ** 28 }));
const idOf = (name) => name.slice(name.lastIndexOf('/') + 1);

const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').filter(Boolean).map(JSON.parse) : [];
const runs = ask('runs', 'list', '--filter', `labels.study = ${study} AND state = SUCCEEDED`);
// Runs without drop are measured with the rate of the others, too.
const { dropout = 0, dropPath = 0 } = runs.map(({ spec }) => spec).find(({ dropout, dropPath }) => dropout > 0 || dropPath > 0) ?? {};
const rates = dropout > 0 ? ['--dropout', String(dropout)] : ['--drop-path', String(dropPath)];
runs.sort((a, b) => Number(a.labels.seed) - Number(b.labels.seed) || a.name.localeCompare(b.name, 'en'));
for (const { name, labels } of runs) {
  const checkpoints = ask('checkpoints', 'list', idOf(name)).map(({ name, step }) => ({ name, step: Number(step) }));
  for (const wanted of steps.split(',').map(Number)) {
    if (lines.some((line) => line.run === idOf(name) && line.wanted === wanted)) continue;
    // Checkpoints between the ends of epochs are made by time; the line has the step of the nearest one.
    const [nearest] = checkpoints.sort((a, b) => Math.abs(a.step - wanted) - Math.abs(b.step - wanted));
    const { result } = ask('evaluate', nearest.name, '--gradient-statistics', batches, ...rates, '--seed', labels.seed);
    const { blocks: _, ...statistics } = result.gradientStatistics;
    const line = {
      study,
      run: idOf(name),
      arm: labels.arm,
      seed: labels.seed,
      wanted,
      step: nearest.step,
      dropout,
      dropPath,
      ...statistics,
      seconds: result.seconds,
    };
    appendFileSync(file, `${JSON.stringify(line)}\n`);
    console.error(`${line.run} after ${line.step} steps: ${Math.round(result.seconds)} s`);
  }
}
