/** One run that several workers compute while the plan of a seed is carried out. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { instanceOf } from '#work/instance.js';
import { type ServiceProcess, startService } from '../../support/processes.js';
import { batchesOf, followAgain as follow, lossesOf, type Trainer } from '../../support/training-services.js';
import type { GroupFault, GroupFaultKind } from './group-plan.js';
import type { Networks } from './networks.js';

/** Workers at the same time. */
export const PLACES = 5;
const [TTL_MS, SILENCE_MS] = [2000, 2000];
/** Longer than the others are patient. */
const AWAY_MS = 3500;
const soon = { timeoutMs: 30_000 };
const longest = { run: 600_000, progress: 120_000 };

export interface StormPlace {
  readonly trainer: Trainer;
  readonly storeUri: string;
  readonly data: string;
  readonly networks: Networks;
  readonly say: (text: string) => void;
  /** Called with what must be ended. */
  readonly after: (end: () => Promise<unknown>) => void;
}

/** What must be the same for any number of workers. */
export interface RunResult {
  readonly losses: readonly number[];
  readonly batches: readonly string[];
  /** SHA-256 of the files of the last checkpoint, by role. */
  readonly files: readonly string[];
}

interface Worker {
  readonly name: string;
  readonly place: number;
  readonly service: ServiceProcess;
}

let started = 0;

async function startWorker(at: StormPlace, place: number): Promise<Worker> {
  const { storeUri, data, networks } = at;
  const name = `w${++started}`;
  const host = networks.hostOf(place);
  const argv = [
    '--role',
    'worker',
    '--store',
    storeUri,
    '--data',
    data,
    '--instance',
    name,
    '--host',
    host,
    '--allow-remote',
    '--allow-anonymous',
  ];
  const quick = ['--poll-ms', '50', '--lease-ttl-ms', String(TTL_MS), '--backoff-ms', '50', '--member-silence-ms', String(SILENCE_MS)];
  const service = await startService(
    { after: at.after } as never,
    'trainer',
    [...argv, ...quick],
    { DROPSTREAM_THREADS: '1' },
    networks.within(place),
  );
  return { name, place, service };
}

async function resultOf({ trainer }: StormPlace, name: string): Promise<RunResult & { readonly events: readonly RunEvent[] }> {
  const events = await follow(trainer, name, undefined, longest.run);
  const { run } = await trainer.getRun({ name }, soon);
  if (run?.state !== RunState.SUCCEEDED) throw new Error(`${name} ended in state ${run?.state}: ${run?.failure}`);
  const { checkpoint } = await trainer.getCheckpoint({ name: `${name}/checkpoints/latest` }, soon);
  const files = checkpoint!.files.map(({ role, sha256 }) => `${role} ${Buffer.from(sha256).toString('hex')}`).sort();
  return { losses: lossesOf(events), batches: batchesOf(events), files, events };
}

/** One worker, and nothing that disturbs it. */
export async function aloneRun(at: StormPlace, runId: string, spec: RunSpec): Promise<RunResult> {
  const { run } = await at.trainer.createRun({ parent: 'projects/p', runId, spec: { ...spec, workers: { min: 1, max: 1 } } }, soon);
  const only = await startWorker(at, 0);
  const result = await resultOf(at, run!.name);
  await only.service.end('SIGTERM');
  return result;
}

export interface StormReport extends RunResult {
  readonly faults: readonly GroupFaultKind[];
  readonly generations: number;
  readonly largest: number;
  readonly claims: number;
  readonly inMemory: number;
}

export async function groupStorm(at: StormPlace, runId: string, spec: RunSpec, plan: readonly GroupFault[]): Promise<StormReport> {
  const { trainer, say } = at;
  const { run } = await trainer.createRun({ parent: 'projects/p', runId, spec: { ...spec, workers: { min: 1, max: PLACES } } }, soon);
  const storm = new GroupStorm(at, run!.name);
  const faults: GroupFaultKind[] = [];
  await storm.join(3);
  for (const fault of plan) {
    if (!(await storm.progress(fault.afterSteps))) break;
    say(`${runId}: ${fault.kind} (${storm.names.join(', ')})`);
    await storm.carryOut(fault);
    faults.push(fault.kind);
  }
  await storm.mendAll();
  const { events, ...result } = await resultOf(at, run!.name);
  await storm.end();
  const groups = events.flatMap(({ event }) => (event?.$case === 'group' ? [event.value] : []));
  return {
    ...{ ...result, faults, generations: groups.length },
    largest: Math.max(1, ...groups.map(({ members }) => members.length)),
    claims: events.filter(({ event }) => event?.$case === 'claimed').length,
    inMemory: events.filter(({ event }) => event?.$case === 'resumed' && event.value.inMemory).length,
  };
}

class GroupStorm {
  #workers: Worker[] = [];
  #leader = '';
  /** What brings those back that are frozen or cut off. */
  readonly #mending = new Set<Promise<void>>();

  constructor(
    private readonly at: StormPlace,
    private readonly run: string,
  ) {}

  get names(): string[] {
    return this.#workers.map(({ name }) => (name === this.#leader ? `${name} leads` : name));
  }

  /** Waits until so many steps more are recorded. @returns false if the run has ended */
  async progress(steps: number): Promise<boolean> {
    let ended = false;
    const { run } = await this.at.trainer.getRun({ name: this.run }, soon);
    const goal = Number(run!.step) + steps;
    const seen = ({ event }: RunEvent): boolean => {
      if (event?.$case === 'claimed') this.#leader = instanceOf(event.value.worker);
      if (event?.$case === 'state' && event.value.state === RunState.SUCCEEDED) ended = true;
      return event?.$case === 'steps' && event.value.steps.some(({ step }) => Number(step) >= goal);
    };
    await follow(this.at.trainer, this.run, seen, longest.progress);
    return !ended;
  }

  async join(count: number): Promise<void> {
    const taken = new Set(this.#workers.map(({ place }) => place));
    const free = Array.from({ length: PLACES }, (_, place) => place).filter((place) => !taken.has(place));
    this.#workers.push(...(await Promise.all(free.slice(0, count).map((place) => startWorker(this.at, place)))));
  }

  async carryOut({ kind, target }: GroupFault): Promise<void> {
    const members = this.#workers.filter(({ name }) => name !== this.#leader);
    const leader = this.#workers.find(({ name }) => name === this.#leader);
    const chosen = kind.endsWith('leader') ? leader : members[Math.floor(target * members.length)];
    if (kind === 'join') return await this.join(1);
    if (kind === 'join-two') return await this.join(2);
    if (chosen === undefined) return await this.join(2);
    if (kind === 'kill-two')
      await this.#remove(
        this.#workers.filter((one) => one === leader || one === chosen),
        'SIGKILL',
      );
    else if (kind.startsWith('kill')) await this.#remove([chosen], 'SIGKILL');
    else if (kind === 'leave') await this.#remove([chosen], 'SIGTERM');
    else if (kind.startsWith('freeze')) this.#away(chosen.service.process.kill('SIGSTOP'), () => chosen.service.process.kill('SIGCONT'));
    else {
      await this.at.networks.cut(chosen.place);
      this.#away(true, () => this.at.networks.mend(chosen.place));
    }
    // There is always somebody who can be reached and goes on.
    if (this.#workers.length < 3) await this.join(3 - this.#workers.length);
  }

  #away(_: boolean, back: () => unknown): void {
    const mended: Promise<void> = delay(AWAY_MS).then(async () => {
      await back();
      this.#mending.delete(mended);
    });
    this.#mending.add(mended);
  }

  async #remove(gone: readonly Worker[], signal: NodeJS.Signals): Promise<void> {
    // A frozen one could not leave.
    if (signal === 'SIGTERM') await this.mendAll();
    await Promise.all(gone.map(({ service }) => service.end(signal)));
    this.#workers = this.#workers.filter((one) => !gone.includes(one));
  }

  async mendAll(): Promise<void> {
    await Promise.all(this.#mending);
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.map(({ service }) => service.end('SIGTERM')));
  }
}
