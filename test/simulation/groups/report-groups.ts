/** The part of npm run test:simulation that explores groups: what it has seen goes to the console. */
import type { Budget } from '../execution.js';
import { exploreGroups, replayGroups } from './explore-groups.js';
import type { GroupMutant, GroupOptions } from './group-world.js';

/** Faults of the protocol. Each must be found; `shown`: where it shows soon. */
export const groupMutants: readonly {
  readonly name: GroupMutant;
  readonly about: string;
  readonly shown: { workers: number; budget: Budget };
}[] = [
  {
    name: 'leader-without-fence',
    about: 'the owner of a run does not notice that it was claimed again',
    shown: { workers: 2, budget: { preemptions: 0, faults: 1 } },
  },
  {
    name: 'stale-generation',
    about: 'members take what was sent in an earlier generation',
    shown: { workers: 3, budget: { preemptions: 0, faults: 1 } },
  },
];

/** Three steps: the first one alone, one in which the others join, and one of the whole group. */
export const groupOf = (workers: number, mutant?: GroupMutant): GroupOptions => ({
  ...{ workers, leaves: workers + 1, steps: 3 },
  ...(mutant && { mutant }),
});

const nameOf = ({ workers, mutant }: GroupOptions): string => `a group of ${workers}${mutant ? ` with ${mutant}` : ''}`;

async function one(options: GroupOptions, budget: Budget, limitMs: number): Promise<boolean> {
  const began = performance.now();
  const { executions, longest, generations, claims, complete, violation } = await exploreGroups(options, budget, limitMs);
  const outcome = violation ? 'violated' : complete ? 'complete' : 'stopped by the time';
  console.log(
    `${nameOf(options)}, ${budget.preemptions} preemptions, ${budget.faults} faults: ${outcome}; ${executions} executions, longest ${longest} steps, ` +
      `up to ${generations} generations and ${claims} claims, ${((performance.now() - began) / 1000).toFixed(1)} s`,
  );
  if (violation) {
    const again = `--groups ${options.workers}${options.mutant ? ` --mutant ${options.mutant}` : ''} --replay '${violation.choices}'`;
    console.log(`  ${violation.message}\n  ${again}`);
  }
  return violation !== undefined;
}

/** Explores groups of 2 and up to `most` workers, and then looks for every mutant. @returns whether something is wrong */
export async function reportGroups(most: number, budgets: readonly Budget[], limitMs: number): Promise<boolean> {
  let broken = false;
  for (let workers = 2; workers <= most; workers++)
    for (const budget of budgets) broken = (await one(groupOf(workers), budget, limitMs)) || broken;
  for (const { name, about, shown } of groupMutants) {
    // However little time there is, a mutant must be found.
    if (await one(groupOf(shown.workers, name), shown.budget, Number.POSITIVE_INFINITY)) continue;
    console.log(`  the mutant ${name} (${about}) was not found`);
    broken = true;
  }
  return broken;
}

/** Prints one execution. @returns whether an invariant does not hold */
export async function replayGroup(options: GroupOptions, choices: string): Promise<boolean> {
  const { ending, trace } = await replayGroups(options, choices);
  console.log(trace.join('\n'));
  console.log(ending.violation ? `violated: ${ending.violation.message}` : 'every invariant holds');
  return ending.violation !== undefined;
}
