/** The slots of a worker that help other owners with their work. They are given back when work waits that this worker could claim. */
import { keyOfEntry, type QueueEntry } from './queue-entry.js';

/** One of them, as the one who helps sees it. */
export interface Membership {
  /** Aborts when the process stops, and when this worker could claim work that waits. */
  readonly leaving: AbortSignal;
  /** Aborts when the process stops. */
  readonly stopping: AbortSignal;
  /** Says by which function it is found out whether the owner can spare this worker; by default, it always can. Only then it is asked to leave. */
  readonly sparedIf: (isSpared: () => boolean) => void;
  /** Does the work as its owner, of which only `stopping` asks to give it back. */
  readonly leads: (work: (stopping: AbortSignal) => Promise<boolean>) => Promise<boolean>;
}

export interface MembershipsOptions {
  readonly join?: (entry: QueueEntry, membership: Membership) => Promise<boolean>;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Share of the looks at waiting work at which a member leaves: one piece of work does not need all members of all runs. */
const leaves = 0.25;

export class Memberships {
  readonly #options: MembershipsOptions;
  readonly #leaving = new Map<string, { readonly ends: AbortController; isSpared: () => boolean }>();

  constructor(options: MembershipsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#leaving.size;
  }

  /** Resolves when the membership has ended; to false if there was none. */
  async join(entry: QueueEntry, stopping: AbortSignal): Promise<boolean> {
    const { join } = this.#options;
    const ends = new AbortController();
    const key = keyOfEntry(entry);
    const slot = { ends, isSpared: () => true };
    this.#leaving.set(key, slot);
    const leads = async (work: (stopping: AbortSignal) => Promise<boolean>): Promise<boolean> => {
      this.#leaving.delete(key);
      try {
        return await work(stopping);
      } finally {
        this.#leaving.set(key, slot);
      }
    };
    try {
      const leaving = AbortSignal.any([stopping, ends.signal]);
      const sparedIf = (isSpared: () => boolean): void => {
        slot.isSpared = isSpared;
      };
      return (await join?.(entry, { leaving, stopping, sparedIf, leads })) ?? false;
    } finally {
      this.#leaving.delete(key);
    }
  }

  /** Number of memberships in the work of a project. */
  in(project: string): number {
    return [...this.#leaving.keys()].filter((key) => key.startsWith(`${project}/`)).length;
  }

  /** Asks the newest membership that can be spared to end, or leaves that to another worker. */
  leaveOne(): void {
    const newest = [...this.#leaving.values()].filter(({ ends, isSpared }) => !ends.signal.aborted && isSpared()).at(-1);
    if (newest && this.#options.random() < leaves) newest.ends.abort(new Error('work waits that this worker could do'));
  }
}
