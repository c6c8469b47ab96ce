/** npm run simulate: plays a day of runs through the shipped scaler, a fixed fleet and an autoscaler that follows the CPU. */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { fixedFleet, hpaFleet, kedaFleet, peakWorkers } from './fleets.js';
import { largeFigures } from './large.js';
import { measureRequests } from './measure-requests.js';
import { outcomeOf } from './outcome.js';
import { type Report, reportPage } from './report.js';
import { Simulation } from './simulation.js';
import { generateDay, parseTrace, type TracedRun } from './trace.js';
import { defaultWorld } from './world.js';

const usage = `npm run simulate -- [--trace FILE | --runs N] [--seed N] [--fixed N] [--max-workers N] [--report FILE]

Plays a day of runs, in virtual time, through the shipped scaler, a fixed fleet and an autoscaler that follows the CPU. Prints JSON, and writes a page that
compares them: how long runs wait, how busy workers are, what is lost and what it costs.

  --trace FILE      the day: in each line a JSON object {"at": second of the day, "seconds": of training, "project": "…"}
  --runs N          generates a day of so many runs instead; default 10000
  --seed N          of the generated day and of what goes wrong in it; default 1
  --fixed N         workers of the fixed fleet; default: as many as have work at the busiest time
  --max-workers N   most workers of the others; default: twice as many
  --report FILE     the page; default simulation.html`;

function fail(message: string): never {
  console.error(`simulate: ${message}`);
  process.exit(2);
}

const { values } = parseArgs({
  options: {
    trace: { type: 'string' },
    runs: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    fixed: { type: 'string' },
    'max-workers': { type: 'string' },
    report: { type: 'string', default: 'simulation.html' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}

function integer(name: 'runs' | 'seed' | 'fixed' | 'max-workers', least: number, most: number): number {
  const value = Number(values[name]);
  return Number.isInteger(value) && value >= least && value <= most
    ? value
    : fail(`--${name} is ${values[name]}, must be from ${least} to ${most}`);
}

function readTrace(path: string): TracedRun[] {
  try {
    return parseTrace(readFileSync(path, 'utf8'));
  } catch (error) {
    return fail(`--trace ${path}: ${(error as Error).message}`);
  }
}

const seed = BigInt(integer('seed', 0, Number.MAX_SAFE_INTEGER));
const trace = values.trace === undefined ? generateDay(integer('runs', 1, 1_000_000), seed) : readTrace(values.trace);
const peak = peakWorkers(trace);
const fixed = values.fixed === undefined ? peak : integer('fixed', 1, 100_000);
const maxWorkers = values['max-workers'] === undefined ? 2 * Math.max(peak, fixed) : integer('max-workers', 1, 100_000);
const world = { ...defaultWorld, seed, maxWorkers };
const outcomes = [kedaFleet(), fixedFleet(fixed), hpaFleet()].map((fleet) => {
  const simulation = new Simulation(trace, world, fleet).run();
  return { outcome: outcomeOf(simulation), samples: simulation.samples };
});
const measured = await measureRequests();
const large = [10, 100, 1000, 10_000].map((workers) => largeFigures(workers, measured, world));
const report: Report = {
  runs: trace.length,
  trace: values.trace === undefined ? `generated with seed ${seed}` : `recorded in ${values.trace}`,
  workHours: trace.reduce((sum, { seconds }) => sum + seconds, 0) / 3600,
  ...{ world, outcomes, measured, large },
};
writeFileSync(values.report, reportPage(report));
console.log(
  JSON.stringify(
    {
      runs: report.runs,
      trace: report.trace,
      workHours: report.workHours,
      outcomes: outcomes.map(({ outcome }) => outcome),
      measured,
      large,
    },
    null,
    2,
  ),
);
