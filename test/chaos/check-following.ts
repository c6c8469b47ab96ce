/** What must be true of a run that follows a schedule: every step has the rate of the revision that the run's log had in force for it. */
import { createHash } from 'node:crypto';
import type { RunEvent, StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import type { Calm } from './check-run.js';

/** The drop rate of every step of the training, by the scheduler's own account of a revision. */
export type RatesOf = (revision: bigint) => Promise<readonly number[]>;

interface Change {
  readonly revision: bigint;
  readonly fromStep: number;
}

/** What runs with the same rates up to a step have had there, over all runs of one spec that it is given. */
export class KnownSteps {
  readonly #known = new Map<string, Pick<StepMetrics, 'loss' | 'gradNorm'>>();
  /** Number of steps that were found to be those of another attempt or run. */
  repeated = 0;

  /** `past` identifies the rates of all steps up to this one. @returns what is wrong */
  check(past: string, { step, loss, gradNorm }: StepMetrics): string[] {
    const known = this.#known.get(past);
    if (known === undefined) {
      this.#known.set(past, { loss, gradNorm });
      return [];
    }
    this.repeated++;
    if (Object.is(known.loss, loss) && Object.is(known.gradNorm, gradNorm)) return [];
    return [
      `step ${step} has the loss ${loss} and gradient norm ${gradNorm}; with the same rates it once had ${known.loss} and ${known.gradNorm}`,
    ];
  }
}

/** Looks at every attempt, not only at the steps that are left in the end. */
export async function checkFollowing(events: readonly RunEvent[], calm: Calm, ratesOf: RatesOf, known: KnownSteps): Promise<string[]> {
  const wrong: string[] = [];
  const changes: Change[] = [];
  /** By step: a digest of the rates of all steps before it. */
  const pasts: string[] = [''];
  let next = 0;
  for (const { event } of events) {
    if (event?.$case === 'created') changes.push({ revision: event.value.run!.spec!.scheduleRevision, fromStep: 0 });
    if (event?.$case === 'resumed') next = Number(event.value.fromStep);
    if (event?.$case === 'scheduleChanged') {
      const change = { revision: event.value.revision, fromStep: Number(event.value.effectiveStep) };
      if (change.revision <= changes.at(-1)!.revision)
        wrong.push(`revision ${change.revision} follows revision ${changes.at(-1)!.revision}`);
      if (change.fromStep < next)
        wrong.push(`revision ${change.revision} is in force from step ${change.fromStep}, after step ${next - 1}`);
      changes.push(change);
    }
    if (event?.$case !== 'steps') continue;
    for (const metrics of event.value.steps) {
      const step = Number(metrics.step);
      next = step + 1;
      const { revision } = changes.findLast(({ fromStep }) => fromStep <= step)!;
      const rate = (await ratesOf(revision))[step];
      if (metrics.dropRate !== rate) wrong.push(`step ${step} has the drop rate ${metrics.dropRate}; revision ${revision} says ${rate}`);
      wrong.push(...otherRates(metrics, calm.steps.get(step)));
      const past = createHash('sha256').update(`${pasts[step]} ${metrics.dropRate}`).digest('hex');
      pasts[step + 1] = past;
      wrong.push(...known.check(past, metrics));
      if (wrong.length > 5) return wrong;
    }
  }
  return wrong;
}

/** Nothing but the drop rate differs from an undisturbed run. */
function otherRates({ step, lr, weightDecay }: StepMetrics, calm: StepMetrics | undefined): string[] {
  if (calm !== undefined && calm.lr === lr && calm.weightDecay === weightDecay) return [];
  return [`step ${step} has the learning rate ${lr} and weight decay ${weightDecay} instead of ${calm?.lr} and ${calm?.weightDecay}`];
}

/** Number of revisions that a run took over while it trained. */
export const changesIn = (events: readonly RunEvent[]): number => events.filter(({ event }) => event?.$case === 'scheduleChanged').length;
