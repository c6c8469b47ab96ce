/** Creates the runs of a study and brings them to their end. Everything that it knows is in the runs, so that it may be ended and started again at any time. */
import { createHash } from 'node:crypto';
import { endStates, type TrainerClient } from '#client/run-events.js';
import { FailedPrecondition, NotFound } from '#errors/errors.js';
import { type Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { allPages, shortName } from '../commands/shared-options.js';
import type { PlannedRun, Study } from './study-file.js';

export interface StudyPlace {
  readonly client: TrainerClient;
  /** projects/{project}. */
  readonly parent: string;
  readonly call: { readonly timeoutMs: number; readonly signal: AbortSignal };
}

/** More than a study has, so that runs which others gave its labels are seen, too. */
const MOST_RUNS = 10_000;

/** Every run with the study's label. @throws if one cannot be read, because a study without it would say something else */
export async function runsWithLabel(study: string, { client, parent, call }: StudyPlace): Promise<Run[]> {
  return await allPages(MOST_RUNS, async (pageToken, pageSize) => {
    const page = await client.listRuns({ parent, pageToken, pageSize, filter: `labels.study = ${study}`, orderBy: '' }, call);
    for (const { name, reason } of page.unreadable) throw new Error(`${name} cannot be read: ${reason}`);
    return { items: page.runs, nextPageToken: page.nextPageToken };
  });
}

export class StudyRuns {
  readonly #runs = new Map<string, Run>();
  /** Runs whose request this process has repeated, so that their spec is known to be the file's. */
  readonly #asked = new Set<string>();

  constructor(
    private readonly study: Study,
    private readonly planned: readonly PlannedRun[],
    private readonly place: StudyPlace,
    /** Called when a run was created or its state has changed. */
    private readonly onChange: (run: Run) => void = () => {},
  ) {}

  /** @throws InvalidArgument and others for an arm that no run could have; nothing is created */
  async check(): Promise<void> {
    const firstSeed = this.planned[0]?.seed;
    for (const { request, labels, seed } of this.planned) {
      if (seed !== firstSeed) continue;
      const { client, parent, call } = this.place;
      await client.createRun({ parent, runId: '', spec: request.spec, requestId: '', labels: { ...labels }, validateOnly: true }, call);
    }
  }

  /**
   * Looks at the runs, ends those of failed arms, and creates those that may be, also again if one was deleted before it was seen to have ended. A run
   * that exists with another spec is an error; then nothing is created.
   * @returns whether nothing is left to do
   */
  async advance(): Promise<boolean> {
    const listed = await runsWithLabel(this.study.name, this.place);
    for (const run of listed) this.#take(run);
    await this.#forgetDeleted(new Set(listed.map(({ name }) => shortName(name))));
    for (const one of this.planned) if (this.#runs.has(one.id) && !this.#asked.has(one.id)) await this.#create(one);
    const failed = this.failedArms();
    for (const one of this.planned) {
      const run = this.#runs.get(one.id);
      const isFailed = failed.has(one.arm);
      if (run === undefined && !isFailed && this.#inFlight() < (this.study.inFlight ?? Number.POSITIVE_INFINITY)) await this.#create(one);
      if (isFailed && run !== undefined && !endStates.has(run.state)) await this.#cancel(run);
    }
    return this.planned.every(({ id, arm }) => {
      const run = this.#runs.get(id);
      return run === undefined ? failed.has(arm) : endStates.has(run.state);
    });
  }

  /** Arms of which a run has failed, if the study stops those. */
  failedArms(): ReadonlySet<string> {
    if (!this.study.stopFailedArms) return new Set();
    return new Set(this.planned.filter(({ id }) => this.#runs.get(id)?.state === RunState.FAILED).map(({ arm }) => arm));
  }

  /** The runs that exist, as they were at the last look. */
  get runs(): readonly Run[] {
    return [...this.#runs.values()];
  }

  #inFlight(): number {
    return this.runs.filter((run) => !endStates.has(run.state) && run.state !== RunState.PAUSED).length;
  }

  async #create({ id, request, labels }: PlannedRun): Promise<void> {
    const { client, parent, call } = this.place;
    const requestId = `study-${createHash('sha256').update(`${parent}/runs/${id}`).digest('hex').slice(0, 40)}`;
    const { run } = await client.createRun(
      { parent, runId: id, spec: request.spec, requestId, labels: { ...labels }, validateOnly: false },
      call,
    );
    this.#asked.add(id);
    this.#take(run!);
  }

  async #cancel(run: Run): Promise<void> {
    try {
      this.#take((await this.place.client.cancelRun({ name: run.name }, { ...this.place.call, idempotent: true })).run!);
    } catch (error) {
      // It has ended since; the next look shows how.
      if (!(error instanceof FailedPrecondition)) throw error;
    }
  }

  /** What no list shows is too new for one, or was deleted; whoever waits for its end would wait for ever. */
  async #forgetDeleted(listed: ReadonlySet<string>): Promise<void> {
    for (const [id, { name, state }] of this.#runs) {
      if (listed.has(id) || endStates.has(state)) continue;
      try {
        this.#take((await this.place.client.getRun({ name }, this.place.call)).run!);
      } catch (error) {
        if (!(error instanceof NotFound)) throw error;
        this.#runs.delete(id);
        this.#asked.delete(id);
      }
    }
  }

  /** A list may be some seconds old, and then knows less than what a call has returned. */
  #take(run: Run): void {
    const id = shortName(run.name);
    if (!this.planned.some((one) => one.id === id)) return;
    const known = this.#runs.get(id);
    if (known !== undefined && known.uid === run.uid && known.logSequence >= run.logSequence) return;
    this.#runs.set(id, run);
    if (known?.state !== run.state) this.onChange(run);
  }
}
