/** Checks a run of the storm when it is over, by its kind. */
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { checkEvaluations, evaluationsOf, written } from './check-evaluations.js';
import { changesIn, checkFollowing, KnownSteps } from './check-following.js';
import { type Calm, checkCheckpoints, checkEvents, checkLogs, checkSkipped } from './check-run.js';
import { checkSteps } from './check-steps.js';
import type { Clients } from './clients.js';
import type { Damage } from './damage.js';
import { SCHEDULE } from './run-specs.js';
import type { System } from './system.js';
import type { WatchedRun } from './watched-run.js';

/** What the storm did to the runs that were checked, so that one can see whether it did anything. */
export interface Counts {
  /** Claims after the first one of a run, steps that were lost with an attempt and done again, and checkpoints that an attempt had to skip. */
  readonly attempts: { further: number; repeatedSteps: number; skippedCheckpoints: number };
  /** Results and failures of evaluations, and further claims of one after its first. */
  readonly evaluations: { results: number; failures: number; takenOver: number };
  /** Revisions that runs took over while they trained, and steps that an earlier attempt or run had done with the same rates. */
  readonly following: { changes: number; repeatedSteps: number };
}

export class FinishedRuns {
  readonly counts: Counts = {
    attempts: { further: 0, repeatedSteps: 0, skippedCheckpoints: 0 },
    evaluations: { results: 0, failures: 0, takenOver: 0 },
    following: { changes: 0, repeatedSteps: 0 },
  };
  readonly #known = new KnownSteps();
  readonly #rates = new Map<bigint, readonly number[]>();

  constructor(
    private readonly system: System,
    private readonly clients: Clients,
    private readonly calm: Calm,
    private readonly damage: Damage,
  ) {}

  /** @returns what is wrong; nothing if all is well */
  async check({ name, uid, events }: WatchedRun, kind: string): Promise<string[]> {
    const { store } = this.system;
    const steps = checkSteps(events, this.calm, { sameLosses: kind !== 'following' });
    const { attempts } = this.counts;
    attempts.repeatedSteps += steps.repeated;
    attempts.further += Math.max(0, number(events, 'claimed') - 1);
    attempts.skippedCheckpoints += number(events, 'checkpointSkipped');
    return [
      ...checkEvents(events),
      ...steps.wrong,
      ...checkSkipped(events, this.damage.checkpoints),
      ...(await checkLogs(store, `${name}/${uid}`)).wrong,
      ...(await checkCheckpoints(store, `${name}/${uid}`, this.damage.parts)),
      ...(kind === 'evaluated' ? await this.#evaluations(name, events) : []),
      ...(kind === 'following' ? await this.#following(events) : []),
    ];
  }

  async #evaluations(name: string, events: WatchedRun['events']): Promise<string[]> {
    const found = await this.clients.call((signal) => this.clients.trainer.getRun({ name }, { signal }));
    const wrong = checkEvaluations(events, found!.run!, this.calm, this.damage);
    const { evaluations: counts } = this.counts;
    for (const { evaluation: of, result, failure } of evaluationsOf(events)) {
      if (result === undefined) counts.failures++;
      else counts.results++;
      if (of === '') continue;
      const stored = await this.clients.call((signal) => this.clients.evaluator.getEvaluation({ name: of }, { signal }));
      const { uid, state, result: own, failure: why } = stored!.evaluation!;
      const { wrong: wrongLog, claims } = await checkLogs(this.system.store, `${of}/${uid}`);
      counts.takenOver += Math.max(0, claims - 1);
      const agrees =
        result === undefined
          ? state === EvaluationState.FAILED && why === failure
          : state === EvaluationState.SUCCEEDED && own !== undefined && written(own) === written(result);
      if (!agrees) wrong.push(`${of} is ${EvaluationState[state]} with ${own ? written(own) : why}, which differs from the run's log`);
      wrong.push(...wrongLog);
    }
    return wrong;
  }

  async #following(events: WatchedRun['events']): Promise<string[]> {
    const wrong = await checkFollowing(events, this.calm, (revision) => this.#ratesOf(revision), this.#known);
    this.counts.following.changes += changesIn(events);
    this.counts.following.repeatedSteps = this.#known.repeated;
    return wrong;
  }

  async #ratesOf(revision: bigint): Promise<readonly number[]> {
    const known = this.#rates.get(revision);
    if (known !== undefined) return known;
    const steps = [...this.calm.steps.values()];
    const epochs = 1 + Math.max(...steps.map(({ epoch }) => epoch));
    const request = {
      source: { $case: 'schedule', value: SCHEDULE },
      revision,
      length: { epochs, stepsPerEpoch: steps.length / epochs, depth: 0 },
      steps: steps.map((_, step) => BigInt(step)),
    } as const;
    const answer = await this.clients.call((signal) =>
      this.clients.scheduler.getRates({ ...request, steps: [...request.steps] }, { signal }),
    );
    const rates = answer!.rates.map(({ rate }) => rate);
    this.#rates.set(revision, rates);
    return rates;
  }
}

const number = (events: WatchedRun['events'], kind: string): number => events.filter(({ event }) => event?.$case === kind).length;
