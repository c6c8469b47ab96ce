/** The leaves of one step: who is asked for which, what has come back, and what is lost with a member and must be asked for again. */
import { StepCancelled } from '#engine/index.js';
import type { LeafResult, StepValues } from '#protocol/dropstream/v1/group.js';
import { nextLeaves } from './leaf-shares.js';
import { MemberLost, type Participant } from './participant.js';
import type { RemoteParticipant } from './remote-participant.js';
import type { Roster } from './roster.js';

export interface LeafRoundOptions {
  readonly step: number;
  readonly values: StepValues;
  readonly leaves: number;
  readonly roster: Roster;
  readonly local: Participant;
  /** The leaves that a member usually computes. */
  readonly homeOf: (member: Participant) => readonly number[];
  readonly isCancelled: () => boolean;
  /** Time after which a member that has not begun a leaf gives it up to one that has nothing to do, in ms; default 1000. */
  readonly patienceMs?: number;
  /** Called for every leaf that must be computed again. */
  readonly onLost: () => void;
}

const patienceMs = 1000;

interface Computed {
  readonly result: LeafResult;
  readonly by: Participant;
}

export class LeafRound {
  readonly #options: LeafRoundOptions;
  readonly #computed = new Map<number, Computed>();
  /** Leaves that a member was asked for and has not answered yet, with the time of the question by performance.now(). */
  readonly #asked = new Map<Participant, Map<number, number>>();
  /** By leaf: who was asked to give it up, or has done so. */
  readonly #surrenders = new Map<number, Set<Participant>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(options: LeafRoundOptions) {
    this.#options = options;
  }

  get step(): number {
    return this.#options.step;
  }

  get values(): StepValues {
    return this.#options.values;
  }

  /** Whether every leaf is held by somebody who is still there. */
  get isComplete(): boolean {
    const { leaves, roster } = this.#options;
    return this.#computed.size === leaves && [...this.#computed.values()].every(({ by }) => roster.members.includes(by));
  }

  /** By leaf; only when the step is made. */
  get results(): LeafResult[] {
    return Array.from({ length: this.#options.leaves }, (_, leaf) => (this.#computed.get(leaf) as Computed).result);
  }

  heldBy(member: Participant): number[] {
    return [...this.#computed].flatMap(([leaf, { by }]) => (by === member ? [leaf] : []));
  }

  /** Forgets leaves that their members do not hold any more. */
  keep(held: ReadonlyMap<Participant, readonly number[]>): void {
    for (const [leaf, { by }] of this.#computed) if (!held.get(by)?.includes(leaf)) this.#lose(leaf);
  }

  /** Resolves when every leaf is held by somebody. @throws what the leader's own part of it throws; StepCancelled */
  async complete(): Promise<void> {
    const { leaves, roster, homeOf, isCancelled } = this.#options;
    for (;;) {
      if (isCancelled()) throw new StepCancelled();
      if (this.#failure !== undefined) throw this.#failure.error;
      const { members } = roster;
      for (const [leaf, { by }] of this.#computed) if (!members.includes(by)) this.#lose(leaf);
      const pending = new Set(members.flatMap((member) => [...(this.#asked.get(member)?.keys() ?? [])]));
      const missing = Array.from({ length: leaves }, (_, leaf) => leaf).filter((leaf) => !this.#computed.has(leaf) && !pending.has(leaf));
      if (missing.length === 0 && pending.size === 0) return;
      const change = roster.change({ withinMs: this.#options.patienceMs ?? patienceMs });
      // Those that want to leave get no more, if there is somebody else.
      const staying = members.filter((member) => !(member as Partial<RemoteParticipant>).leaves);
      const home = (member: Participant): readonly number[] => homeOf(member).filter((leaf) => !this.#surrenders.get(leaf)?.has(member));
      for (const [rank, share] of nextLeaves(
        missing,
        staying.map(home),
        staying.map((member) => this.#load(member)),
      ).entries())
        for (const leaf of share) this.#ask(this.#takerOf(leaf, staying[rank] as Participant, staying), leaf);
      this.#takeBack(staying);
      await change;
    }
  }

  #load(member: Participant): number {
    return this.#asked.get(member)?.size ?? 0;
  }

  /** Whoever has given a leaf up is not asked for it again, if there is somebody else. */
  #takerOf(leaf: number, chosen: Participant, staying: readonly Participant[]): Participant {
    const surrendered = this.#surrenders.get(leaf);
    if (!surrendered?.has(chosen)) return chosen;
    const others = staying.filter((member) => !surrendered.has(member)).sort((a, b) => this.#load(a) - this.#load(b));
    return others[0] ?? chosen;
  }

  /** Where a member has nothing to do, others give up what they were asked for long ago and have not begun. */
  #takeBack(staying: readonly Participant[]): void {
    const idle = staying.filter((member) => this.#load(member) === 0);
    const longAgo = performance.now() - (this.#options.patienceMs ?? patienceMs);
    for (const [member, leaves] of this.#asked) {
      for (const [leaf, askedMs] of [...leaves].reverse()) {
        const surrenders = this.#surrenders.get(leaf) ?? new Set();
        if (askedMs > longAgo || surrenders.has(member) || !idle.some((one) => !surrenders.has(one))) continue;
        this.#surrenders.set(leaf, surrenders.add(member));
        member.giveUp({ step: BigInt(this.step), leaves: [leaf] });
        idle.shift();
      }
    }
  }

  #ask(member: Participant, leaf: number): void {
    const { step, values, local, roster } = this.#options;
    const mine = this.#asked.get(member) ?? new Map<number, number>();
    this.#asked.set(member, mine.set(leaf, performance.now()));
    member
      .compute({ step: BigInt(step), leaves: [leaf], values })
      .then(
        (results) => {
          for (const result of results) this.#computed.set(result.leaf, { result, by: member });
        },
        (error: unknown) => {
          if (member === local) this.#failure = { error };
          else if (!(error instanceof MemberLost)) (member as RemoteParticipant).lose((error as Error).message);
        },
      )
      .finally(() => {
        mine.delete(leaf);
        roster.wake();
      });
  }

  #lose(leaf: number): void {
    this.#computed.delete(leaf);
    this.#options.onLost();
  }
}
