/** Applies new revisions of the schedule that a run follows, between two steps. */
import { runDropOf } from '#spec/drop-schedules.js';
import { dropSegments } from '../run/run-rates.js';
import type { AttemptContext } from './attempt-context.js';
import { type Revision, ScheduleFollower } from './schedule-follower.js';

export class ScheduleChanges {
  readonly #context: AttemptContext;
  /** Absent if the run does not follow a schedule. */
  readonly #follower: ScheduleFollower | undefined;
  #saidGone = false;

  /** Begins to follow at once; whoever makes it closes it. */
  constructor(context: AttemptContext) {
    const { claimed, scheduler, logger, spec } = context;
    this.#context = context;
    if (!spec.followSchedule || scheduler === undefined) return;
    this.#follower = new ScheduleFollower(scheduler, spec.schedule, claimed.view.scheduleRevision, logger);
  }

  /** Takes a revision that has come, before the step that uses it: the log says so first. */
  async takeBefore(step: number): Promise<void> {
    const revision = this.#follower?.take();
    if (this.#follower?.gone) await this.#sayGone();
    const { claimed, logger, totalSteps } = this.#context;
    if (revision === undefined || step >= totalSteps) return;
    try {
      await this.#append(revision, step);
      logger.info({ revision: revision.revision, step }, 'the drop schedule changed');
    } catch (error) {
      if (claimed.signal.aborted) throw error;
      logger.warn({ error, revision: revision.revision }, 'a revision of the schedule does not fit the run and is ignored');
    }
  }

  async close(): Promise<void> {
    await this.#follower?.close();
  }

  /** Says once for the run that its schedule is no longer followed. */
  async #sayGone(): Promise<void> {
    if (this.#saidGone) return;
    this.#saidGone = true;
    const { claimed, spec, append, logger } = this.#context;
    const message = `${spec.schedule} was deleted; the run keeps revision ${claimed.view.scheduleRevision} of it`;
    logger.warn({ schedule: spec.schedule }, 'the schedule was deleted; the run keeps its revision');
    if (claimed.view.run.statusMessage !== message) await append({ $case: 'status', value: { message } });
  }

  async #append({ revision, spec }: Revision, step: number): Promise<void> {
    const { claimed, spec: runSpec, stepsPerEpoch, append } = this.#context;
    if (spec.kind !== claimed.view.dropKind && spec.rate > 0) throw new Error('its kind of drop differs from that of the run');
    const segments = dropSegments({ ...runSpec, ...runDropOf(spec) }, stepsPerEpoch);
    await append({ $case: 'scheduleChanged', value: { revision: BigInt(revision), effectiveStep: BigInt(step), segments } });
  }
}
