/**
 * npm run test:simulation [-- --groups N] [--scenario NAME] [--actors N] [--preemptions N] [--faults N] [--depth N] [--seconds N] [--mutant NAME] [--replay CHOICES]:
 * explores what may happen to a run's name, log and claim, prints how much it has seen, and ends with 1 where an invariant does not hold. Without
 * --preemptions and --faults it explores one preemption, then one fault. Then every mutant must be found, unless one scenario is chosen. At last it explores
 * the protocol of groups of 2 and 3 workers; with --groups N only that, up to N workers.
 */
import { parseArgs } from 'node:util';
import type { Budget } from './execution.js';
import { type Exploration, explore, replay, type Scenario, type Subject } from './explore.js';
import { groupMutants, groupOf, replayGroup, reportGroups } from './groups/report-groups.js';
import { type Mutant, mutants } from './mutants.js';
import { scenarios } from './scenarios.js';

function fail(message: string): never {
  console.error(`test:simulation: ${message}`);
  process.exit(2);
}

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    groups: { type: 'string' },
    actors: { type: 'string', default: '2' },
    preemptions: { type: 'string' },
    faults: { type: 'string' },
    depth: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    mutant: { type: 'string' },
    replay: { type: 'string' },
  },
});

function count(name: 'actors' | 'groups' | 'preemptions' | 'faults' | 'depth' | 'seconds', from: number, to: number): number {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < from || value > to)
    fail(`--${name} ${values[name]}: an integer from ${from} to ${to} is allowed`);
  return value;
}

function named<T extends { readonly name: string }>(option: string, wanted: string | undefined, all: readonly T[]): readonly T[] {
  if (wanted === undefined) return all;
  const found = all.filter(({ name }) => name === wanted);
  return found.length > 0 ? found : fail(`--${option} ${wanted}: one of ${all.map(({ name }) => name).join(', ')} is allowed`);
}

const actors = count('actors', 1, 3);
const depth = values.depth === undefined ? {} : { depth: count('depth', 1, 100_000) };
const limitMs = 1000 * count('seconds', 1, 86_400);
const budgets: readonly Budget[] =
  values.preemptions === undefined && values.faults === undefined
    ? [
        { preemptions: 1, faults: 0 },
        { preemptions: 0, faults: 1 },
      ]
    : [
        {
          preemptions: values.preemptions === undefined ? 0 : count('preemptions', 0, 10),
          faults: values.faults === undefined ? 0 : count('faults', 0, 10),
        },
      ];
if (values.groups !== undefined) {
  const workers = count('groups', 2, 4);
  const [mutant] = values.mutant === undefined ? [] : named('mutant', values.mutant, groupMutants);
  const isBroken =
    values.replay === undefined
      ? await reportGroups(workers, budgets, limitMs)
      : await replayGroup(groupOf(workers, mutant?.name), values.replay);
  process.exit(isBroken ? 1 : 0);
}

const chosen = named('scenario', values.scenario, scenarios);
const planted = values.mutant === undefined ? [] : named('mutant', values.mutant, mutants);
// A single scenario need not show every fault.
const sought = values.scenario === undefined ? mutants : [];

if (values.replay !== undefined) {
  if (chosen.length !== 1) fail('--replay needs --scenario');
  const { ending, trace } = await replay({ scenario: chosen[0]!, actors, mutant: planted[0] }, values.replay);
  console.log(trace.join('\n'));
  console.log(ending.violation ? `violated: ${ending.violation.message}` : 'every invariant holds');
  process.exit(ending.violation ? 1 : 0);
}

let broken = false;

const replayOf = ({ scenario, mutant }: Subject, choices: string): string =>
  `--scenario ${scenario.name} --actors ${actors}${mutant ? ` --mutant ${mutant.name}` : ''} --replay '${choices}'`;

async function one(subject: Subject, budget: Budget): Promise<Exploration> {
  const began = performance.now();
  const found = await explore(subject, { budget, limitMs, ...depth });
  const { executions, cut, states, longest, complete, violation } = found;
  const bounds = `${budget.preemptions} preemptions, ${budget.faults} faults`;
  const outcome = violation ? 'violated' : complete ? 'complete' : 'stopped by the time';
  console.log(
    `${subject.scenario.name}${subject.mutant ? ` with ${subject.mutant.name}` : ''}, ${bounds}: ${outcome}; ${executions} executions (${cut} cut at a known state), ` +
      `${states} states, longest ${longest} steps, ${((performance.now() - began) / 1000).toFixed(1)} s`,
  );
  if (violation) console.log(`  ${violation.message}\n  ${replayOf(subject, violation.choices)}`);
  return found;
}

async function find(mutant: Mutant, among: readonly Scenario[]): Promise<void> {
  for (const budget of [{ preemptions: 0, faults: 0 }, ...budgets]) {
    for (const scenario of among) if ((await one({ scenario, actors, mutant }, budget)).violation) return;
  }
  console.log(`  the mutant ${mutant.name} (${mutant.about}) was not found`);
  broken = true;
}

if (planted.length === 0) {
  for (const budget of budgets) {
    for (const scenario of chosen) if ((await one({ scenario, actors }, budget)).violation) broken = true;
  }
}
for (const mutant of planted.length > 0 ? planted : sought) await find(mutant, chosen);
if (values.scenario === undefined && values.mutant === undefined) broken = (await reportGroups(3, budgets, limitMs)) || broken;
process.exitCode = broken ? 1 : 0;
