/**
 * Visits every execution within a budget, depth first. An execution is repeated from its start with the choices so far, because promises cannot be
 * copied. A state that was seen before is not entered again: the store's content, what every process has seen (which determines what it will do), the
 * clock and the rest of the budget.
 */
import { type Budget, type Choose, type Ending, execute, type Monitor, type Process, Violation } from './execution.js';
import type { Mutant } from './mutants.js';
import { StoreState } from './simulated-store.js';
import { VirtualWorld } from './virtual-world.js';

/** A situation to explore: made anew for every execution. */
export interface Scenario {
  readonly name: string;
  /** What it is about, for the report. */
  readonly about: string;
  readonly horizonMs: number;
  /** @param actors processes beside the creator, from 1 to 3 */
  readonly open: (actors: number) => Situation;
}

export interface Situation {
  readonly processes: readonly Process[];
  readonly monitor: Monitor;
  /** What must hold at the end, and what must then still be possible: processes that run one after the other, without faults, on what the store holds. */
  readonly afterwards: readonly Process[];
}

/** What is explored: a scenario with so many actors, and possibly a planted fault. */
export interface Subject {
  readonly scenario: Scenario;
  readonly actors: number;
  readonly mutant?: Mutant | undefined;
}

export interface ExploreOptions {
  readonly budget: Budget;
  /** Number of choices in an execution for which every alternative is explored; the first one is taken after that. Default: all. */
  readonly depth?: number;
  /** Real milliseconds after which the exploration stops without being complete. */
  readonly limitMs?: number;
}

export interface Exploration {
  readonly executions: number;
  /** Executions that were cut because they came to a known state. */
  readonly cut: number;
  readonly states: number;
  readonly longest: number;
  /** False if the time ended it. */
  readonly complete: boolean;
  readonly violation?: { readonly message: string; readonly choices: string };
}

const NOTHING: Budget = { preemptions: 0, faults: 0 };
const EVERYTHING: Budget = { preemptions: Number.POSITIVE_INFINITY, faults: Number.POSITIVE_INFINITY };
const AFTERWARDS_MS = 120_000;
const realNow = performance.now.bind(performance);

/** Stops at the first violation. `plant` changes what every process sees of the store. */
export async function explore(
  subject: Subject,
  { budget, depth = Number.POSITIVE_INFINITY, limitMs = Number.POSITIVE_INFINITY }: ExploreOptions,
): Promise<Exploration> {
  const machine = VirtualWorld.install();
  const end = realNow() + limitMs;
  const path: { readonly texts: readonly string[]; index: number }[] = [];
  const known = new Set<string>();
  const counts = { executions: 0, cut: 0, longest: 0 };
  try {
    for (;;) {
      let taken = 0;
      const choose: Choose = (choices, _made, state) => {
        const at = taken++;
        const step = path[at];
        if (step) return step.index;
        if (at >= depth) return 0;
        const fingerprint = state();
        if (known.has(fingerprint)) return undefined;
        known.add(fingerprint);
        path.push({ texts: choices.map(({ text }) => text), index: 0 });
        return 0;
      };
      const ending = await once(subject, budget, machine, choose);
      counts.executions++;
      if (ending.cut) counts.cut++;
      counts.longest = Math.max(counts.longest, ending.steps);
      const found = { ...counts, states: known.size };
      if (ending.violation) return { ...found, complete: false, violation: { message: ending.violation.message, choices: ending.choices } };
      while (path.length > 0 && path.at(-1)!.index + 1 >= path.at(-1)!.texts.length) path.pop();
      const last = path.at(-1);
      if (last === undefined) return { ...found, complete: true };
      last.index++;
      if (realNow() > end) return { ...found, complete: false };
    }
  } finally {
    machine.restore();
  }
}

/** Repeats the execution of a choice string. @returns its ending and one line for every event */
export async function replay(subject: Subject, choices: string): Promise<{ readonly ending: Ending; readonly trace: readonly string[] }> {
  const machine = VirtualWorld.install();
  const trace: string[] = [];
  const choose: Choose = (offered, made) => {
    const rest = choices.slice(made.length);
    const wanted = [...offered].sort((a, b) => b.text.length - a.text.length).find(({ text }) => rest.startsWith(text));
    return wanted ? offered.indexOf(wanted) : 0;
  };
  try {
    return { ending: await once(subject, EVERYTHING, machine, choose, (text) => trace.push(text)), trace };
  } finally {
    machine.restore();
  }
}

async function once(
  { scenario, actors, mutant }: Subject,
  budget: Budget,
  machine: ReturnType<typeof VirtualWorld.install>,
  choose: Choose,
  onEvent?: (text: string) => void,
): Promise<Ending> {
  const world = new VirtualWorld();
  machine.use(world);
  const state = new StoreState();
  const { processes, monitor, afterwards } = scenario.open(actors);
  const planted = ({ letter, run }: Process): Process => ({ letter, run: (store) => run(mutant ? mutant.plant(store) : store) });
  const shared = { state, world, monitor, ...(onEvent && { onEvent }) };
  const ending = await execute({ ...shared, processes: processes.map(planted), budget, horizonMs: scenario.horizonMs, choose });
  if (ending.cut || ending.violation) return ending;
  for (const process of afterwards) {
    onEvent?.(`afterwards, ${process.letter} alone:`);
    const { violation } = await execute({
      ...shared,
      processes: [planted(process)],
      budget: NOTHING,
      horizonMs: AFTERWARDS_MS,
      choose: () => 0,
    });
    if (violation) return { ...ending, violation: new Violation(`afterwards: ${violation.message}`, { cause: violation }) };
  }
  return ending;
}
