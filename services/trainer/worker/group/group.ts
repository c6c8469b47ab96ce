/**
 * The group that computes a run, as its leader sees it: who is in it, which generation they form, and how they make a step together.
 *
 * A step begins with leaves: each member computes its own, and those of a member that is lost go to the others, while everything that others have computed
 * stays. When all leaves are there, the members exchange sums, and every one of them makes the same step of the optimizer. If that is interrupted, the
 * leader asks everybody what is there: if somebody has made the step, the others copy its state, otherwise the missing leaves are computed again. So a step
 * is made once, whatever happens, and its bits do not depend on who computed what.
 */
import { MeshAborted, MeshFailed } from '#collectives/index.js';
import { StepCancelled } from '#engine/index.js';
import type { DigestAnswer, ExchangeAnswer, ExchangeOrder, LeafResult, StandAnswer, StepValues } from '#protocol/dropstream/v1/group.js';
import type { GroupRecord } from '#protocol/dropstream/v1/trainer.js';
import type { Logger } from '#telemetry/logger.js';
import { compareDigests, sameWeights } from './compare-digests.js';
import type { GroupMetrics } from './group-metrics.js';
import { LeafRound } from './leaf-round.js';
import { homeLeaves, subtreesOf } from './leaf-shares.js';
import type { LocalParticipant } from './local-participant.js';
import { OrderFailed, type Participant } from './participant.js';
import type { RemoteParticipant } from './remote-participant.js';
import type { Roster } from './roster.js';

export interface GroupOptions {
  readonly leaves: number;
  readonly roster: Roster;
  readonly local: LocalParticipant;
  /** Names of the parameters, in the order of the model. */
  readonly parameters: readonly string[];
  /** Numerics of the leader's program. */
  readonly fingerprint: string;
  /** Appends to the run's log before a generation begins. */
  readonly append: (record: GroupRecord) => Promise<void>;
  /** Called with the number of the generation that is about to form: from now on, keys of earlier ones do not count. */
  readonly onGeneration: (generation: number) => void;
  /** The record of a step whose leaves are computed, for the members. */
  readonly describe: (
    step: number,
    values: StepValues,
    leaves: readonly LeafResult[],
  ) => Pick<ExchangeOrder, 'metrics' | 'replaced' | 'recorded'>;
  /** What belongs to the state besides the tensors; what it stands for is in the log when it resolves. */
  readonly progress: () => Promise<Buffer>;
  /** Called with the leaves that each member usually computes, by rank, when a generation has formed. */
  readonly onFormed: (homes: readonly (readonly number[])[]) => void;
  readonly metrics: GroupMetrics;
  readonly logger: Logger;
}

/** What a group has computed of a step. */
export interface GroupStep extends ExchangeAnswer {
  /** By leaf. */
  readonly leaves: readonly LeafResult[];
}

export class Group {
  readonly #options: GroupOptions;
  readonly #roster: Roster;
  /** The members that are connected with each other, by rank. */
  #formed: readonly Participant[];
  #homes: readonly (readonly number[])[];
  #generation = 0;
  #cancelled = false;
  /** Whom a failure between members was put down to, the last time that nobody was lost by it. */
  #suspect: Participant | undefined;

  constructor(options: GroupOptions) {
    this.#options = options;
    this.#roster = options.roster;
    this.#formed = options.roster.members;
    this.#homes = homeLeaves(options.leaves, 1);
  }

  /** Before a step: those that have joined get the state, and those that want to leave are dismissed. */
  async settle(step: number): Promise<void> {
    const newcomers = this.#roster.settle();
    const joined = new Set<Participant>(newcomers);
    for (const member of await this.#alike(newcomers.filter((one) => one.step === step))) joined.delete(member);
    while (this.#isStale()) await this.#form(step, joined, this.#options.local);
  }

  /** Makes a step. @throws what the leader's own part of it throws; StepCancelled */
  async step(step: number, values: StepValues): Promise<GroupStep> {
    const { leaves, local, metrics, logger } = this.#options;
    const round = new LeafRound({
      step,
      values,
      leaves,
      roster: this.#roster,
      local,
      homeOf: (member) => this.#homes[this.#formed.indexOf(member)] ?? [],
      isCancelled: () => this.#cancelled,
      onLost: () => metrics.recomputed.inc(),
    });
    try {
      for (;;) {
        await round.complete();
        // Forming may cost further members, and their leaves with them.
        if (this.#isStale() && !(await this.#form(step, new Set(), local))) continue;
        const answer = round.isComplete ? await this.#exchange(round) : undefined;
        if (answer !== undefined) return { ...answer, leaves: round.results };
      }
    } catch (error) {
      // A step that the leader's program has made is made, whatever else went wrong: its state and the run's record must not part.
      const { step: done, gradNorm } = await local.stand('the step has ended');
      if (Number(done) !== step + 1) throw error;
      logger.warn({ error, step }, 'the step was made, but not everything went well');
      this.#formed = [];
      return { gradNorm, exchangeSeconds: 0, optimizerSeconds: 0, leaves: round.results };
    }
  }

  /** Compares the weights of all members after `step` steps. Whoever differs is expelled. @throws Diverged if that is the leader */
  async compare(step: number): Promise<void> {
    const { members } = this.#roster;
    if (members.length === 1) return;
    const { local, metrics, logger } = this.#options;
    const answers = await this.#ask(members, (member) => member.digest());
    // Those that an interrupted step has left behind have other weights for a good reason. The next generation begins without them.
    for (const [member, { step: done }] of answers) if (member !== local && Number(done) !== step) answers.delete(member);
    for (const { member, tensors } of this.#differing(step, answers)) {
      metrics.diverged.inc();
      const shown = tensors.slice(0, 8);
      logger.error(
        { member: member.worker, step, tensors: shown, differing: tensors.length },
        'the weights of a member differ from those of the others',
      );
      this.#expel(
        member,
        `its weights after step ${step} differ from those of the others in ${tensors.length} tensors: ${shown.join(', ')}`,
      );
    }
  }

  #differing(step: number, answers: ReadonlyMap<Participant, DigestAnswer>): ReturnType<typeof compareDigests> {
    const { local, parameters, metrics } = this.#options;
    try {
      return compareDigests(step, answers, local, parameters);
    } catch (error) {
      metrics.diverged.inc();
      throw error;
    }
  }

  /** Ends the step under way, unless the leader has begun to change weights. There is no further step. */
  cancel(): void {
    this.#cancelled = true;
    this.#options.local.cancel();
    this.#roster.wake();
  }

  /**
   * Those who have the state of the leader already, because they come from the group of an earlier one. As many steps need not be the same ones: another
   * leader may have begun again from an earlier step, and a schedule may have changed meanwhile.
   */
  async #alike(members: readonly Participant[]): Promise<Participant[]> {
    if (members.length === 0) return [];
    const { local } = this.#options;
    const answers = await this.#ask([local, ...members], (member) => member.digest());
    const own = answers.get(local);
    return members.filter((member) => {
      const answer = answers.get(member);
      return own !== undefined && answer !== undefined && sameWeights(answer, own);
    });
  }

  #isStale(): boolean {
    const { members } = this.#roster;
    return this.#formed.length !== members.length || this.#formed.some((member, rank) => member !== members[rank]);
  }

  /**
   * All members connect with each other. @param behind those that get the state from `first` @param gradNorm of the step that `behind` have missed, if they
   * have only missed that one @returns false if some could not; then it is to be tried again,
   * without those who cannot
   */
  async #form(step: number, behind: ReadonlySet<Participant>, first: Participant, gradNorm?: number): Promise<boolean> {
    const { leaves, fingerprint, append, onGeneration, onFormed, progress, metrics, logger } = this.#options;
    this.#checkCancelled();
    const members = [...this.#roster.members];
    const homes = homeLeaves(leaves, members.length);
    const generation = ++this.#generation;
    metrics.generations.inc();
    onGeneration(generation);
    await append({
      generation: BigInt(generation),
      members: members.map(({ worker }, rank) => ({ worker, leaves: [...(homes[rank] as number[])] })),
      fromStep: BigInt(step),
      fingerprint,
      reason: this.#roster.reason,
    });
    const copyTo = members.flatMap((member, rank) => (behind.has(member) ? [rank] : []));
    const order = {
      ...{ generation: BigInt(generation), size: members.length, step: BigInt(step), copyTo, copyFrom: members.indexOf(first) },
      ...(gradNorm === undefined && copyTo.length > 0
        ? { gradNorm: 0, progress: await progress() }
        : { gradNorm: gradNorm ?? 0, progress: Buffer.of() }),
    };
    const begun = performance.now();
    const formed = await this.#all(members, (member, rank) => member.form({ ...order, rank, leaves: [...(homes[rank] as number[])] }));
    if (formed === undefined) {
      this.#formed = [];
      // Nobody is left in the middle of connecting.
      await this.#standings();
      return false;
    }
    this.#formed = members;
    this.#homes = homes;
    onFormed(homes);
    logger.info(
      { generation, members: members.length, step, ms: Math.round(performance.now() - begun) },
      'the workers of the run have connected',
    );
    return true;
  }

  /** @returns undefined if it was interrupted, and is to be tried again with what is there then */
  async #exchange(round: LeafRound): Promise<ExchangeAnswer | undefined> {
    const { leaves, metrics, describe } = this.#options;
    const { step, values } = round;
    const held = this.#formed.map((member) => ({ subtrees: subtreesOf(leaves, round.heldBy(member)) }));
    const order = { generation: BigInt(this.#generation), step: BigInt(step), held, values, ...describe(step, values, round.results) };
    const members = this.#formed;
    const answers = await this.#all(members, (member) => member.exchange(order));
    if (answers === undefined) return await this.#recover(round);
    this.#suspect = undefined;
    const [mine] = answers as [ExchangeAnswer];
    for (const [rank, { gradNorm }] of answers.entries()) {
      // The sum is the same for everybody: a member with another norm cannot be trusted.
      if (Object.is(gradNorm, mine.gradNorm)) continue;
      metrics.diverged.inc();
      this.#expel(members[rank]!, `its gradient norm of step ${step} is ${gradNorm}, and that of the leader is ${mine.gradNorm}`);
    }
    if (members.length > 1) metrics.exchange.observe(mine.exchangeSeconds);
    return mine;
  }

  /** After an interrupted exchange: whether the step is made, by one member at least, decides how it goes on. */
  async #recover(round: LeafRound): Promise<ExchangeAnswer | undefined> {
    const { logger } = this.#options;
    const { step } = round;
    for (;;) {
      const standings = await this.#standings();
      this.#formed = [];
      const ahead = [...standings].filter(([, { step: done }]) => Number(done) === step + 1);
      const [first] = ahead;
      const seen = { step, members: standings.size, ahead: ahead.length };
      if (first === undefined) {
        round.keep(new Map([...standings].map(([member, standing]) => [member, standing.leaves])));
        logger.warn(seen, 'the exchange of a step was interrupted; what was computed is kept');
        return undefined;
      }
      logger.warn(seen, 'the exchange of a step was interrupted after some workers had made the step; the others copy their state');
      const behind = new Set([...standings.keys()].filter((member) => !ahead.some(([one]) => one === member)));
      if (await this.#form(step + 1, behind, first[0], first[1].gradNorm))
        return { gradNorm: first[1].gradNorm, exchangeSeconds: 0, optimizerSeconds: 0 };
    }
  }

  /** What every member has, once nobody waits for others any more. */
  async #standings(): Promise<Map<Participant, StandAnswer>> {
    const answers = await this.#ask(this.#roster.members, (member) => member.stand('another member is lost, or cannot be reached'));
    this.#checkCancelled();
    return answers;
  }

  /** Asks members; whoever cannot answer is expelled. @throws what the leader's own part throws */
  async #ask<T>(members: readonly Participant[], work: (member: Participant) => Promise<T>): Promise<Map<Participant, T>> {
    const answers = new Map<Participant, T>();
    await Promise.all(
      members.map(async (member) => {
        try {
          answers.set(member, await work(member));
        } catch (error) {
          if (member === this.#options.local) throw error;
          this.#expel(member, (error as Error).message);
        }
      }),
    );
    return new Map(members.flatMap((member) => (answers.has(member) ? [[member, answers.get(member) as T]] : [])));
  }

  /** Has all members do something together. @returns undefined if they could not, as soon as that is known */
  async #all<T>(members: readonly Participant[], work: (member: Participant, rank: number) => Promise<T>): Promise<T[] | undefined> {
    let failed: Participant | undefined;
    try {
      return await Promise.all(
        members.map(async (member, rank) => {
          try {
            return await work(member, rank);
          } catch (error) {
            failed ??= member;
            throw error;
          }
        }),
      );
    } catch (error) {
      this.#checkCancelled();
      if (failed === this.#options.local && !(error instanceof MeshFailed || error instanceof MeshAborted)) throw error;
      this.#judge(failed as Participant, error, members);
      return undefined;
    }
  }

  /** Who is to blame for a failure. One that may be somebody else's is forgiven once. */
  #judge(member: Participant, error: unknown, members: readonly Participant[]): void {
    const { local, logger } = this.#options;
    if (!this.#roster.members.includes(member)) return;
    if (error instanceof OrderFailed && !error.betweenMembers) {
      this.#expel(member, error.reason);
      return;
    }
    const peer = error instanceof MeshFailed || error instanceof OrderFailed ? error.peer : undefined;
    const blamed = [peer === undefined ? undefined : members[peer], member, members.at(-1)].find(
      (one) => one !== undefined && one !== local,
    );
    logger.warn({ error, member: member.worker, blamed: blamed?.worker }, 'the members of the group could not reach each other');
    if (blamed !== undefined && blamed === this.#suspect) this.#expel(blamed, 'other members could not reach it twice in a row');
    this.#suspect = blamed;
  }

  #expel(member: Participant, why: string): void {
    if (member !== this.#options.local) (member as RemoteParticipant).lose(why);
  }

  #checkCancelled(): void {
    if (this.#cancelled) throw new StepCancelled();
  }
}
