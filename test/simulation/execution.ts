/**
 * One execution of a few processes over one store. Whenever all of them wait, a choice is made: which process's oldest call is carried out, whether
 * its reply is lost, whether a process stops for ever or is frozen, or goes on. Time passes only while every process that is not frozen waits for a
 * timer, so a call that is late is one of a frozen process. The choices, one or two characters each, are the execution: the same ones give the same.
 */
import { type ObjectStore, StoreUnavailable } from '#storage/object-store.js';
import { fingerprint } from './fingerprint.js';
import { type Answer, type StoreCall, type StoreState, storeClient } from './simulated-store.js';
import type { VirtualWorld } from './virtual-world.js';

/** A simulated process. `letter` is one small letter; `run` ends when the process has nothing more to do. */
export interface Process {
  readonly letter: string;
  readonly run: (store: ObjectStore) => Promise<void>;
}

/** What the exploration may do to the processes, in all. */
export interface Budget {
  /** Switches away from a process that could have gone on. Switches when a process waits for a timer or has ended are free. */
  readonly preemptions: number;
  /** Lost replies, crashes and freezes together. */
  readonly faults: number;
}

/**
 * What happens next, as it stands in a choice string: `a` the next call of process a; `a~` the same, and the reply is lost; `a#` process a stops for
 * ever; `a^` it is frozen; `a_` it goes on; `.` time passes.
 */
export interface Choice {
  readonly text: string;
  readonly preempts: boolean;
  readonly fault: boolean;
}

/** An invariant does not hold. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** Called after a call was carried out; throws Violation. */
export type Monitor = (call: StoreCall, answer: Answer, process: string) => void;

/** @param made the choices so far, those without an alternative too. @param fingerprint of the present state */
export type Choose = (choices: readonly Choice[], made: string, fingerprint: () => string) => number | undefined;

export interface ExecutionOptions {
  readonly processes: readonly Process[];
  readonly state: StoreState;
  readonly world: VirtualWorld;
  readonly monitor: Monitor;
  readonly budget: Budget;
  /** Virtual ms after which the execution is cut: workers look for work for ever. */
  readonly horizonMs: number;
  /** Chooses one of at least two; undefined cuts the execution. */
  readonly choose: Choose;
  /** Called with every event, for a readable trace. */
  readonly onEvent?: (text: string) => void;
}

export interface Ending {
  readonly choices: string;
  readonly steps: number;
  readonly violation?: Error;
  /** True if `choose` cut it. */
  readonly cut: boolean;
  /** Letters of the processes that crashed or were still frozen. */
  readonly gone: readonly string[];
}

interface Waiting {
  readonly call: StoreCall;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Running {
  readonly letter: string;
  readonly calls: Waiting[];
  status: 'live' | 'frozen' | 'crashed' | 'done';
  /** Digest of everything that it has seen so far; it determines what the process does next. */
  seen: number;
}

/** Longer executions than this are an error of the scenario. */
const MOST_STEPS = 5000;

/** After this, every process waits for a call, a timer or for ever: all microtasks are done. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export async function execute(options: ExecutionOptions): Promise<Ending> {
  const { world } = options;
  const began = world.nowMs;
  const all: Running[] = [];
  let failure: Error | undefined;
  for (const { letter, run } of options.processes) {
    const process: Running = { letter, calls: [], status: 'live', seen: 0 };
    all.push(process);
    world.turn = letter;
    const store = storeClient((call) => new Promise((resolve, reject) => process.calls.push({ call, resolve, reject })));
    run(store).then(
      () => {
        process.status = 'done';
        // What a process started and did not end goes with it.
        dropTimers(world, letter);
      },
      (error) => {
        failure ??= error instanceof Violation ? error : new Violation(`process ${letter} failed: ${describe(error)}`, { cause: error });
      },
    );
    await settled();
  }
  const execution = new Execution(options, all, began + options.horizonMs);
  while (failure === undefined) {
    const going = execution.next();
    await settled();
    if (execution.violation) failure = execution.violation;
    if (!going) break;
  }
  return {
    choices: execution.choices,
    steps: execution.steps,
    ...(failure && { violation: failure }),
    cut: execution.cut,
    gone: all.filter(({ status }) => status === 'crashed' || status === 'frozen').map(({ letter }) => letter),
  };
}

class Execution {
  choices = '';
  steps = 0;
  cut = false;
  violation: Error | undefined;
  #last: Running | undefined;
  #preemptions: number;
  #faults: number;

  constructor(
    private readonly options: ExecutionOptions,
    private readonly all: readonly Running[],
    private readonly endMs: number,
  ) {
    this.#preemptions = options.budget.preemptions;
    this.#faults = options.budget.faults;
  }

  /** One choice. @returns false at the end */
  next(): boolean {
    const choices = this.#choices();
    if (choices.length === 0) return false;
    const index = choices.length === 1 ? 0 : this.options.choose(choices, this.choices, () => this.#fingerprint());
    if (index === undefined) {
      this.cut = true;
      return false;
    }
    const choice = choices[index];
    if (choice === undefined) throw new Error(`there is no choice ${index} after ${this.choices}`);
    if (++this.steps > MOST_STEPS) throw new Error(`an execution takes more than ${MOST_STEPS} steps: ${this.choices}`);
    this.choices += choice.text;
    if (choice.preempts) this.#preemptions--;
    if (choice.fault) this.#faults--;
    this.#carryOut(choice);
    return true;
  }

  #choices(): Choice[] {
    const { world } = this.options;
    const able = this.all.filter((process) => process.status === 'live' && (process.calls.length > 0 || this.#due(process.letter)));
    const stays = this.#last !== undefined && able.includes(this.#last) ? this.#last : undefined;
    const order = stays ? [stays, ...able.filter((process) => process !== stays)] : able;
    const frozen = this.all.filter(({ status }) => status === 'frozen');
    const choices: Choice[] = [];
    for (const process of order) {
      const preempts = stays !== undefined && process !== stays;
      if (!preempts || this.#preemptions > 0) choices.push({ text: process.letter, preempts, fault: false });
    }
    const next = Math.min(...[...world.timers].filter(({ owner }) => this.#of(owner)?.status === 'live').map(({ dueMs }) => dueMs));
    if (able.length === 0 && next <= this.endMs) choices.push({ text: '.', preempts: false, fault: false });
    for (const { letter } of frozen) {
      // It comes back for nothing only when all others wait.
      const preempts = able.length > 0;
      if (!preempts || this.#preemptions > 0) choices.push({ text: `${letter}_`, preempts, fault: false });
    }
    if (this.#faults > 0) {
      for (const process of order) {
        const preempts = stays !== undefined && process !== stays;
        if (preempts || process.calls.length === 0) continue;
        for (const mark of ['~', '#', '^']) choices.push({ text: `${process.letter}${mark}`, preempts, fault: true });
      }
    }
    return choices;
  }

  #carryOut({ text }: Choice): void {
    const { world, onEvent } = this.options;
    if (text === '.') {
      world.nowMs = Math.min(...[...world.timers].filter(({ owner }) => this.#of(owner)?.status === 'live').map(({ dueMs }) => dueMs));
      this.#last = undefined;
      return;
    }
    const process = this.#of(text[0]!)!;
    const mark = text.slice(1);
    if (mark === '#' || mark === '^') {
      process.status = mark === '#' ? 'crashed' : 'frozen';
      if (mark === '#') dropTimers(world, process.letter);
      onEvent?.(`${process.letter} ${mark === '#' ? 'stops for ever' : 'is frozen'} before ${describeCall(process.calls[0]!.call)}`);
      this.#last = undefined;
      return;
    }
    if (mark === '_') {
      process.status = 'live';
      onEvent?.(`${process.letter} goes on`);
      // Its oldest call was under way when it froze, and is carried out now.
    }
    this.#last = process;
    world.turn = process.letter;
    if (this.#due(process.letter)) this.#fire(process);
    else if (process.calls.length > 0) this.#answer(process, mark === '~');
  }

  #fire(process: Running): void {
    const { world } = this.options;
    const due = [...world.timers].filter(({ owner, dueMs }) => owner === process.letter && dueMs <= world.nowMs);
    const first = due.reduce((a, b) => (b.dueMs < a.dueMs ? b : a));
    process.seen = fingerprint(`${process.seen} timer ${first.dueMs} at ${world.nowMs}`);
    world.timers.delete(first);
    first.fire();
  }

  #answer(process: Running, lost: boolean): void {
    const { state, world, monitor, onEvent } = this.options;
    const { call, resolve, reject } = process.calls.shift()!;
    const answer = state.answer(call, world.nowMs);
    onEvent?.(`${process.letter} ${describeCall(call)} → ${describeAnswer(answer)}${lost ? ', and the reply is lost' : ''}`);
    try {
      monitor(call, answer, process.letter);
    } catch (error) {
      this.violation = error as Error;
    }
    process.seen = fingerprint(`${process.seen} ${call.kind} ${call.key} ${lost ? 'lost' : answer.digest} at ${world.nowMs}`);
    if (lost) reject(new StoreUnavailable(`${call.kind} ${call.key}: no reply`, true));
    else if (answer.error) reject(answer.error);
    else resolve(answer.value);
  }

  #due(letter: string): boolean {
    const { timers, nowMs } = this.options.world;
    for (const { owner, dueMs } of timers) if (owner === letter && dueMs <= nowMs) return true;
    return false;
  }

  #of(letter: string): Running | undefined {
    return this.all.find((process) => process.letter === letter);
  }

  #fingerprint(): string {
    const { state, world } = this.options;
    const processes = this.all.map(({ status, seen }) => `${status[0]}${seen.toString(36)}`).join();
    return `${state.fingerprint.toString(36)},${processes},${world.nowMs},${this.#last?.letter},${this.#preemptions},${this.#faults}`;
  }
}

function dropTimers(world: VirtualWorld, letter: string): void {
  for (const timer of world.timers) if (timer.owner === letter) world.timers.delete(timer);
}

const describe = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));

function describeCall(call: StoreCall): string {
  if (call.kind === 'put') return `${call.ifAbsent ? 'creates' : 'puts'} ${call.key} (${summary(call.bytes)})`;
  return `${call.kind}s ${call.key}`;
}

function describeAnswer({ value, error }: Answer): string {
  if (error) return error.name;
  if (value === undefined) return 'done';
  if (typeof value === 'object' && value !== null && 'objects' in value) {
    return `[${(value.objects as { key: string }[]).map(({ key }) => key.split('/').slice(-2).join('/')).join(' ')}]`;
  }
  if (typeof value === 'object' && value !== null && 'bytes' in value) return summary(value.bytes as Buffer);
  return 'ok';
}

function summary(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
