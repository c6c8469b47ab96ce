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
  /** Called for every leaf that must be computed again. */
  readonly onLost: () => void;
}

interface Computed {
  readonly result: LeafResult;
  readonly by: Participant;
}

export class LeafRound {
  readonly #options: LeafRoundOptions;
  readonly #computed = new Map<number, Computed>();
  /** Leaves that a member was asked for and has not answered yet. */
  readonly #asked = new Map<Participant, Set<number>>();
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
      const pending = new Set(members.flatMap((member) => [...(this.#asked.get(member) ?? [])]));
      const missing = Array.from({ length: leaves }, (_, leaf) => leaf).filter((leaf) => !this.#computed.has(leaf) && !pending.has(leaf));
      if (missing.length === 0 && pending.size === 0) return;
      const change = roster.change();
      // Those that want to leave get no more, if there is somebody else.
      const staying = members.filter((member) => !(member as Partial<RemoteParticipant>).leaves);
      const loads = staying.map((member) => this.#asked.get(member)?.size ?? 0);
      for (const [rank, share] of nextLeaves(missing, staying.map(homeOf), loads).entries())
        for (const leaf of share) this.#ask(staying[rank] as Participant, leaf);
      await change;
    }
  }

  #ask(member: Participant, leaf: number): void {
    const { step, values, local, roster } = this.#options;
    const mine = this.#asked.get(member) ?? new Set();
    this.#asked.set(member, mine.add(leaf));
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
