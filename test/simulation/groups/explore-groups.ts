/** Visits every execution of a simulated group within a budget, depth first; an execution is repeated from its start with the choices so far. */
import type { Budget } from '../execution.js';
import { Violation } from '../execution.js';
import { VirtualWorld } from '../virtual-world.js';
import { type GroupOptions, GroupWorld } from './group-world.js';
import { STORE } from './network.js';

/**
 * What happens next, as it stands in a choice string: `ab` the next message from a to b is delivered, `ab=` the next transfer; `ab=~` it gets lost; `b#` b stops
 * for ever before its next message; `b^` it is frozen; `b_` it goes on; `.` time passes.
 */
interface Choice {
  readonly text: string;
  readonly preempts: boolean;
  readonly fault: boolean;
  readonly carryOut: () => void;
}

export interface GroupEnding {
  readonly choices: string;
  readonly steps: number;
  readonly violation?: Violation;
}

export interface GroupExploration {
  readonly executions: number;
  readonly longest: number;
  readonly generations: number;
  readonly claims: number;
  /** False if the time ended it. */
  readonly complete: boolean;
  readonly violation?: { readonly message: string; readonly choices: string };
}

type Choose = (texts: readonly string[], made: string) => number;

/** Longer executions than this are an error of the simulation. */
const mostSteps = 3000;
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const realNow = performance.now.bind(performance);

/** Stops at the first violation. */
export async function exploreGroups(options: GroupOptions, budget: Budget, limitMs = Number.POSITIVE_INFINITY): Promise<GroupExploration> {
  const machine = VirtualWorld.install();
  try {
    return await explored(options, budget, realNow() + limitMs, () => machine.use(new VirtualWorld()));
  } finally {
    machine.restore();
  }
}

async function explored(options: GroupOptions, budget: Budget, end: number, renew: () => void): Promise<GroupExploration> {
  const path: { readonly of: number; index: number }[] = [];
  const counts = { executions: 0, longest: 0, generations: 0, claims: 0 };
  for (;;) {
    let taken = 0;
    const choose: Choose = (texts) => {
      const at = taken++;
      const step = path[at] ?? { of: texts.length, index: 0 };
      path[at] = step;
      return step.index;
    };
    renew();
    const { ending, world } = await executed(options, budget, choose);
    counts.executions++;
    counts.longest = Math.max(counts.longest, ending.steps);
    counts.generations = Math.max(counts.generations, world.log.records.filter(({ kind }) => kind === 'group').length);
    counts.claims = Math.max(counts.claims, world.log.records.filter(({ kind }) => kind === 'claimed').length);
    if (ending.violation) return { ...counts, complete: false, violation: { message: ending.violation.message, choices: ending.choices } };
    while (path.length > 0 && path.at(-1)!.index + 1 >= path.at(-1)!.of) path.pop();
    const last = path.at(-1);
    if (last === undefined) return { ...counts, complete: true };
    last.index++;
    if (realNow() > end) return { ...counts, complete: false };
  }
}

/** Repeats the execution of a choice string. @returns its ending and one line for every event */
export async function replayGroups(
  options: GroupOptions,
  choices: string,
): Promise<{ readonly ending: GroupEnding; readonly trace: readonly string[] }> {
  const trace: string[] = [];
  const choose: Choose = (texts, made) => {
    const rest = choices.slice(made.length);
    const wanted = [...texts].sort((a, b) => b.length - a.length).find((text) => rest.startsWith(text));
    return wanted === undefined ? 0 : texts.indexOf(wanted);
  };
  const everything = { preemptions: Number.POSITIVE_INFINITY, faults: Number.POSITIVE_INFINITY };
  const machine = VirtualWorld.install();
  machine.use(new VirtualWorld());
  try {
    const { ending } = await executed(options, everything, choose, (text) => trace.push(text));
    return { ending, trace };
  } finally {
    machine.restore();
  }
}

async function executed(
  options: GroupOptions,
  budget: Budget,
  choose: Choose,
  onEvent?: (text: string) => void,
): Promise<{ readonly ending: GroupEnding; readonly world: GroupWorld }> {
  const world = new GroupWorld(options);
  try {
    for (const worker of world.workers)
      worker
        .work()
        .catch((error) =>
          world.fail(error instanceof Violation ? error : new Violation(`${worker.letter} failed: ${error.stack ?? error}`)),
        );
    await settled();
    return { ending: await toItsEnd(world, budget, choose, onEvent), world };
  } finally {
    for (const cleanup of world.cleanups) cleanup();
  }
}

async function toItsEnd(world: GroupWorld, budget: Budget, choose: Choose, onEvent?: (text: string) => void): Promise<GroupEnding> {
  let [made, steps] = ['', 0];
  const left = { ...budget };
  /** Number of records when time passed the last time, and how often none came in between. */
  const quiet = { records: 0, times: 0 };
  for (; world.violation === undefined; steps++) {
    if (steps > mostSteps) throw new Error(`an execution takes more than ${mostSteps} steps: ${made}`);
    const choices = choicesOf(world, left, quiet, onEvent);
    if (choices.length === 0) break;
    const index =
      choices.length === 1
        ? 0
        : choose(
            choices.map(({ text }) => text),
            made,
          );
    const choice = choices[index];
    if (choice === undefined) throw new Error(`there is no choice ${index} after ${made}`);
    made += choice.text;
    if (choice.preempts) left.preemptions--;
    if (choice.fault) left.faults--;
    choice.carryOut();
    await settled();
  }
  const alive = world.workers.filter(({ letter }) => world.stateOf(letter) === 'live').map(({ letter }) => letter);
  if (!world.log.ended && alive.length > 0)
    world.fail(new Violation(`the run does not end: ${alive} are there, and step ${world.log.step} is next`));
  return { choices: made, steps, ...(world.violation && { violation: world.violation }) };
}

function choicesOf(
  world: GroupWorld,
  left: Budget,
  quiet: { records: number; times: number },
  onEvent: ((text: string) => void) | undefined,
): Choice[] {
  const { network, log } = world;
  const heads = network.heads();
  const [first] = heads;
  const choices: Choice[] = [];
  const add = (text: string, what: string, how: { preempts?: boolean; fault?: boolean }, carryOut: () => void): void => {
    const { preempts = false, fault = false } = how;
    if ((preempts && left.preemptions <= 0) || (fault && left.faults <= 0)) return;
    choices.push({
      ...{ text, preempts, fault },
      carryOut: () => {
        onEvent?.(what);
        carryOut();
      },
    });
  };
  for (const head of heads) {
    const { from, to, text, link } = head;
    add(link, `${from} → ${to}: ${text}`, { preempts: head !== first }, () => world.deliver(head, false));
  }
  const frozen = network.letters.filter((letter) => network.stateOf(letter) === 'frozen');
  for (const letter of frozen)
    add(`${letter}_`, `${letter} goes on`, { preempts: first !== undefined }, () => network.setState(letter, 'live'));
  if (first === undefined && !log.ended) {
    quiet.times = log.records.length === quiet.records ? quiet.times + 1 : 0;
    quiet.records = log.records.length;
    if (quiet.times < 6) add('.', 'time passes', {}, () => void world.passTime());
  }
  if (first === undefined) return choices;
  const letter = first.to === STORE ? first.from : first.to;
  if (network.stateOf(letter) !== 'live') return choices;
  add(`${letter}#`, `${letter} stops for ever`, { fault: true }, () => world.strike(letter, 'gone'));
  add(`${letter}^`, `${letter} is frozen`, { fault: true }, () => world.strike(letter, 'frozen'));
  if (first.lossy)
    add(`${first.link}~`, `${first.from} → ${first.to}: ${first.text} gets lost`, { fault: true }, () => world.deliver(first, true));
  return choices;
}
