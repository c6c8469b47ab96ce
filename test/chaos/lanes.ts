/**
 * The work that goes on during the storm, in two lanes of runs that follow one another. The first lane trains, in turn, plain runs and runs that follow
 * a schedule; the second trains runs that may be cancelled, deleted and created again under their name. Each run is checked when it is over.
 */
import { AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropKind, DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient, type SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';
import type { TypedClient } from '#rpc/client.js';
import { connect } from '#rpc/client.js';
import { listAll } from '#storage/object-store.js';
import { connectTrainer, demandingSpec, type Trainer, type Workspace } from '../support/training.js';
import { type Calm, checkCheckpoints, checkEvents, checkLogs } from './check-run.js';
import type { System } from './system.js';
import { insist, WatchedRun } from './watched-run.js';

const PARENT = 'projects/chaos';
const SCHEDULE = `${PARENT}/schedules/live`;
const CALL_MS = 3000;
const RUN_LIMIT_MS = 150_000;

export interface LanesReport {
  /** Number of runs that were checked, by kind. */
  readonly checked: Record<string, number>;
  readonly wrong: string[];
}

export class Lanes {
  readonly report: LanesReport = { checked: {}, wrong: [] };
  /** Those under way. */
  runs: WatchedRun[] = [];
  readonly #trainer: Trainer;
  readonly #scheduler: TypedClient<typeof SchedulerServiceService>;
  readonly #ended: string[] = [];
  #recreate = false;
  #over = false;

  constructor(
    private readonly system: System,
    private readonly workspace: Workspace,
    private readonly calm: Calm,
    private readonly damaged: ReadonlySet<string>,
    private readonly signal: AbortSignal,
  ) {
    this.#trainer = connectTrainer(
      system
        .of('trainer', 'api')
        .map(({ address }) => address)
        .join(','),
    );
    this.#scheduler = connect(SchedulerServiceClient, system.of('scheduler')[0]!.address);
  }

  /** Begins the lanes. Resolves when the runs that were begun before `finish` are over and checked. */
  async go(): Promise<void> {
    const spec = DropScheduleSpec.fromPartial({ rate: 0.2, kind: DropKind.DROP_PATH });
    await this.#call((signal) => this.#scheduler.createSchedule({ parent: PARENT, scheduleId: 'live', spec }, { signal }));
    await Promise.all([this.#lane('first', ['plain', 'following']), this.#lane('second', ['again'])]);
  }

  /** No run begins after this. */
  finish(): void {
    this.#over = true;
  }

  close(): void {
    this.#trainer.close();
    this.#scheduler.close();
  }

  askRecreate(): void {
    this.#recreate = true;
  }

  async changeSchedule(amount: number): Promise<void> {
    const spec = DropScheduleSpec.fromPartial({ rate: Math.round(100 * (0.05 + 0.4 * amount)) / 100 });
    await this.#call((signal) => this.#scheduler.updateSchedule({ name: SCHEDULE, spec, updateMask: ['rate'] }, { signal }));
  }

  /** Takes a record out of the middle of a run that has ended. It must be told as damaged, and the others must stay visible. */
  async sacrifice(): Promise<void> {
    const name = this.#ended.shift();
    if (name === undefined) return;
    const records: string[] = [];
    for await (const { key } of listAll(this.system.store, `${name}/`)) {
      if (/\/log(-snapshots)?\/\d{12}$/.test(key)) records.push(key);
    }
    const log = records.filter((key) => key.includes('/log/'));
    await this.system.store.delete(log[Math.floor(log.length / 2)]!);
    for (const key of records) if (key.includes('/log-snapshots/')) await this.system.store.delete(key);
    const listed = await this.#call((signal) => this.#trainer.listRuns({ parent: PARENT }, { signal }));
    const visible = listed?.runs.map((run) => run.name) ?? [];
    for (const other of [...this.#ended, ...this.runs.map((run) => run.name)]) {
      if (!visible.includes(other)) this.report.wrong.push(`ListRuns does not show ${other} beside the damaged ${name}`);
    }
    this.report.checked.damaged = (this.report.checked.damaged ?? 0) + 1;
  }

  async #lane(lane: string, kinds: readonly string[]): Promise<void> {
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

  async #oneRun(id: string, kind: string): Promise<void> {
    const name = `${PARENT}/runs/${id}`;
    const limit = AbortSignal.any([this.signal, AbortSignal.timeout(RUN_LIMIT_MS)]);
    const spec = kind === 'following' ? followingSpec(this.workspace) : plainSpec(this.workspace);
    await this.#create(id, spec);
    let run = this.#begin(name);
    let following = run.follow(this.#trainer, limit);
    while (kind === 'again' && !(await Promise.race([following.then(() => true), this.#asked()]))) {
      following.catch(() => {});
      await this.#free(name);
      this.#drop(run);
      await this.#create(id, spec);
      run = this.#begin(name);
      following = run.follow(this.#trainer, limit);
    }
    await following.finally(() => this.#drop(run));
    const found = [
      ...checkEvents(run.events, this.calm, { sameLosses: kind !== 'following' }),
      ...(await checkLogs(this.system.store, name)),
      ...(await checkCheckpoints(this.system.store, name, this.damaged)),
    ];
    this.report.wrong.push(...found.map((what) => `${id} (${kind}): ${what}`));
    this.report.checked[kind] = (this.report.checked[kind] ?? 0) + 1;
    if (kind === 'plain') this.#ended.push(name);
  }

  #begin(name: string): WatchedRun {
    const run = new WatchedRun(name);
    this.runs.push(run);
    return run;
  }

  #drop(run: WatchedRun): void {
    this.runs = this.runs.filter((one) => one !== run);
  }

  async #asked(): Promise<false> {
    while (!this.#recreate) {
      this.signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    this.#recreate = false;
    return false;
  }

  async #create(runId: string, spec: RunSpec): Promise<void> {
    await this.#call(
      (signal) => this.#trainer.createRun({ parent: PARENT, runId, spec }, { signal }),
      (error) => error instanceof AlreadyExists,
    );
  }

  /** Cancels and deletes a run, whatever state it is in. */
  async #free(name: string): Promise<void> {
    await this.#call(async (signal) => {
      await this.#trainer.cancelRun({ name }, { signal }).catch((error) => {
        if (!(error instanceof FailedPrecondition || error instanceof NotFound)) throw error;
      });
      await this.#trainer.deleteRun({ name }, { signal }).catch((error) => {
        if (!(error instanceof NotFound)) throw error;
      });
    });
  }

  #call<T>(call: (signal: AbortSignal) => Promise<T>, settled?: (error: unknown) => boolean): Promise<T | undefined> {
    const limit = AbortSignal.any([this.signal, AbortSignal.timeout(60_000)]);
    return insist(() => call(AbortSignal.any([limit, AbortSignal.timeout(CALL_MS)])), limit, settled);
  }
}

/** A few seconds of training with everything that a resume could get wrong. */
export const plainSpec = (workspace: Workspace): RunSpec => demandingSpec(workspace, { epochs: 5, cutoffEpoch: 3 });

/** The schedule says what is dropped, and when. */
function followingSpec(workspace: Workspace): RunSpec {
  const { dropPath: _path, dropMode: _mode, dropSchedule: _schedule, cutoffEpoch: _cutoff, ...rest } = plainSpec(workspace);
  return RunSpec.fromPartial({ ...rest, schedule: SCHEDULE, followSchedule: true });
}
