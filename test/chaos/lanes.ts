/**
 * The work that goes on during the storm, in two lanes of runs that follow one another. The first lane trains, in turn, plain runs and runs whose
 * checkpoints are evaluated; the second trains runs that may be cancelled, deleted and created again under their name, and runs that follow a
 * schedule. Each run is checked when it is over.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AlreadyExists } from '#errors/errors.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropKind, DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import type { Workspace } from '../support/training.js';
import type { Calm } from './check-run.js';
import { Clients } from './clients.js';
import type { Damage } from './damage.js';
import { damageEnded, free } from './damaged-run.js';
import { type Counts, FinishedRuns } from './finished-run.js';
import { evaluatedSpec, followingSpec, PARENT, plainSpec, SCHEDULE, sparseSpec } from './run-specs.js';
import type { System } from './system.js';
import { type Silence, WatchedRun } from './watched-run.js';

const RUN_LIMIT_MS = 150_000;
const LONG_SILENCE_MS = 10_000;
/** Those of the live schedule. */
const RATES = [0.1, 0.2, 0.3, 0.4] as const;
const SPECS = { plain: plainSpec, evaluated: evaluatedSpec, again: sparseSpec, following: followingSpec };

export type LaneKind = keyof typeof SPECS;

export interface LanesReport {
  /** Number of runs that were checked, by kind. */
  readonly checked: Record<string, number>;
  /** Number of runs that were cancelled, deleted and created again. */
  recreated: number;
  /** The run that took longest from its creation to its end. */
  longest: { readonly run: string; readonly seconds: number };
  /** The longest time that each run was without an event, if that was long. */
  readonly silences: ({ readonly run: string } & Silence)[];
  readonly wrong: string[];
}

export class Lanes {
  readonly report: LanesReport = { checked: {}, recreated: 0, longest: { run: '', seconds: 0 }, silences: [], wrong: [] };
  /** Those under way. */
  runs: WatchedRun[] = [];
  readonly #clients: Clients;
  readonly #finished: FinishedRuns;
  readonly #ended: WatchedRun[] = [];
  #recreate = false;
  #over = false;
  #rate = 1;

  constructor(
    private readonly system: System,
    private readonly workspace: Workspace,
    private readonly calm: Calm,
    damage: Damage,
    private readonly signal: AbortSignal,
  ) {
    this.#clients = new Clients(system, signal);
    this.#finished = new FinishedRuns(system, this.#clients, calm, damage);
  }

  get counts(): Counts {
    return this.#finished.counts;
  }

  /** Begins the lanes. Resolves when the runs that were begun before `finish` are over and checked. */
  async go(): Promise<void> {
    const { scheduler } = this.#clients;
    const spec = DropScheduleSpec.fromPartial({ rate: RATES[this.#rate]!, kind: DropKind.DROP_PATH });
    await this.#clients.call(
      (signal) => scheduler.createSchedule({ parent: PARENT, scheduleId: 'live', spec }, { signal }),
      (error) => error instanceof AlreadyExists,
    );
    await Promise.all([this.#lane('first', ['plain', 'evaluated']), this.#lane('second', ['again', 'following'])]);
  }

  /** No run begins after this. */
  finish(): void {
    this.#over = true;
  }

  close(): void {
    this.#clients.close();
  }

  /** Waits, at most `limitMs`, until a run of this kind trains: a fault that is meant for such runs should find one. */
  async untilTrains(kind: LaneKind, limitMs: number): Promise<void> {
    for (const end = performance.now() + limitMs; performance.now() < end && !this.#over; ) {
      if (this.runs.some((run) => run.kind === kind && run.training)) return;
      this.signal.throwIfAborted();
      await delay(50);
    }
  }

  /** Whether a checkpoint of this step is evaluated, in runs that are. */
  isEvaluated(step: number): boolean {
    return this.calm.results.has(step);
  }

  /** Whether this run has to save a further checkpoint that is evaluated. */
  hasNextEvaluation({ kind, checkpoints }: WatchedRun): boolean {
    return kind === 'evaluated' && (checkpoints.at(-1)?.step ?? 0) < Math.max(...this.calm.results.keys());
  }

  askRecreate(): void {
    this.#recreate = true;
  }

  /** Another rate than before. There are few, so that runs with the same rates can be compared. */
  async changeSchedule(amount: number): Promise<void> {
    this.#rate = (this.#rate + 1 + Math.floor(amount * (RATES.length - 1))) % RATES.length;
    const spec = DropScheduleSpec.fromPartial({ rate: RATES[this.#rate]! });
    const { scheduler } = this.#clients;
    await this.#clients.call((signal) => scheduler.updateSchedule({ name: SCHEDULE, spec, updateMask: ['rate'] }, { signal }));
  }

  /** Waits, at most `limitMs`, for a run that has ended, and damages its log. @returns false if there was none */
  async sacrifice(limitMs: number): Promise<boolean> {
    for (const end = performance.now() + limitMs; this.#ended.length === 0; await delay(50)) {
      this.signal.throwIfAborted();
      if (performance.now() > end || this.#over) return false;
    }
    const { name } = this.#ended.shift()!;
    this.report.wrong.push(...(await damageEnded(this.system.store, this.#clients, name, () => [...this.#ended, ...this.runs])));
    this.report.checked.damaged = (this.report.checked.damaged ?? 0) + 1;
    return true;
  }

  async #lane(lane: string, kinds: readonly LaneKind[]): Promise<void> {
    for (let k = 0; !this.#over; k++) {
      const kind = kinds[k % kinds.length]!;
      const id = `${lane}-${k}`;
      try {
        await this.#oneRun(id, kind);
      } catch (error) {
        this.signal.throwIfAborted();
        this.report.wrong.push(`${id}: ${error instanceof Error ? `${error.name}: ${error.message}` : error}`);
      }
    }
  }

  async #oneRun(id: string, kind: LaneKind): Promise<void> {
    const name = `${PARENT}/runs/${id}`;
    const spec = SPECS[kind](this.workspace);
    await this.#create(id, spec);
    let run = this.#begin(name, kind);
    let following = this.#follow(run);
    while (kind === 'again' && (await this.#askedBefore(following))) {
      this.#drop(run);
      await free(this.#clients, name);
      this.report.recreated++;
      await this.#create(id, spec);
      run = this.#begin(name, kind);
      following = this.#follow(run);
    }
    await following.finally(() => {
      this.#drop(run);
      writeFileSync(
        join(this.system.logs, `${id}.events.jsonl`),
        run.events.map((event) => `${JSON.stringify(RunEvent.toJSON(event))}\n`).join(''),
      );
    });
    const seconds = Math.round((performance.now() - run.beganAt) / 100) / 10;
    if (seconds > this.report.longest.seconds) this.report.longest = { run: `${id} (${kind})`, seconds };
    if (run.silence.ms > LONG_SILENCE_MS) this.report.silences.push({ run: `${id} (${kind})`, ...run.silence });
    const wrong = await this.#finished.check(run, kind);
    this.report.wrong.push(...wrong.map((what) => `${id} (${kind}): ${what}`));
    this.report.checked[kind] = (this.report.checked[kind] ?? 0) + 1;
    if (kind === 'plain') this.#ended.push(run);
  }

  #begin(name: string, kind: LaneKind): WatchedRun {
    const run = new WatchedRun(name, kind);
    this.runs.push(run);
    return run;
  }

  async #follow(run: WatchedRun): Promise<void> {
    await run.follow(this.#clients.trainer, AbortSignal.any([this.signal, AbortSignal.timeout(RUN_LIMIT_MS)]));
  }

  #drop(run: WatchedRun): void {
    this.runs = this.runs.filter((one) => one !== run);
  }

  /** Resolves when the run is to be created again, or to false when it is over. */
  async #askedBefore(following: Promise<void>): Promise<boolean> {
    let over = false;
    const end = (): void => {
      over = true;
    };
    following.then(end, end);
    while (!over) {
      if (this.#recreate) {
        this.#recreate = false;
        return true;
      }
      await delay(50);
    }
    return false;
  }

  async #create(runId: string, spec: RunSpec): Promise<void> {
    await this.#clients.call(
      (signal) => this.#clients.trainer.createRun({ parent: PARENT, runId, spec }, { signal }),
      (error) => error instanceof AlreadyExists,
    );
  }
}
