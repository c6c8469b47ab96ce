/**
 * The order in which one look at a queue goes through what waits: the greatest priority first; of one priority, the work of a project from the oldest
 * on, and between projects as their fair shares say, given the claims that have been seen by then.
 */
import { equalShares, FairShare, type ProjectShares } from './fair-share.js';
import type { QueueEntry } from './queue-entry.js';

/** What waits. Default priority: 0. */
export type Waiting = QueueEntry & { readonly priority?: number };

/** The entries of a project, of one priority, that were not reached yet. */
interface Line<T> {
  readonly project: string;
  readonly entries: T[];
  at: number;
}

/** In place of the fence of a claim that this process has begun: whoever wins it, it is one claim. */
const BEGUN = -1;
/** In place of a fence that was not read: a listing shows that there is a claim. */
const LISTED = 0;

export class FairQueue {
  readonly #share: FairShare;
  /** Fence of every claim that was charged, by the key of its entry. */
  readonly #charged = new Map<string, number>();
  /** Projects of whose entries this look has reached all. */
  #reached: string[] = [];

  constructor(
    private readonly shares: ProjectShares = equalShares,
    private readonly keyOf: (entry: QueueEntry) => string,
  ) {
    this.#share = new FairShare(shares.weightOf);
  }

  /** Most claims of a project at the same time. */
  limitOf(project: string): number {
    return this.shares.of(project).workers ?? Number.POSITIVE_INFINITY;
  }

  /**
   * All that waits, each when its turn comes.
   * @param waiting the oldest first
   * @param owned what has an owner: claims that are charged unless that was done before
   */
  *order<T extends Waiting>(waiting: readonly T[], owned: readonly QueueEntry[] = []): Generator<T, void, void> {
    const owns = new Set(owned.map(this.keyOf));
    // What waits again is charged again when it is claimed.
    for (const key of this.#charged.keys()) if (!owns.has(key)) this.#charged.delete(key);
    this.#share.present(new Set([...waiting, ...owned].map(({ project }) => project)));
    for (const entry of owned) this.saw(entry);
    this.#reached = [];
    const left = new Map<string, number>();
    for (const { project } of waiting) left.set(project, (left.get(project) ?? 0) + 1);
    for (const tier of byPriority(waiting)) {
      const lines = linesOf(tier);
      for (let line = this.#share.next(lines.values()); line !== undefined; line = this.#share.next(lines.values())) {
        yield line.entries[line.at++]!;
        if (line.at === line.entries.length) lines.delete(line.project);
        const rest = left.get(line.project)! - 1;
        left.set(line.project, rest);
        if (rest === 0) this.#reached.push(line.project);
      }
    }
  }

  /** Charges a claim that this process begins. */
  begins(entry: QueueEntry): void {
    this.#charged.set(this.keyOf(entry), BEGUN);
    this.#share.passOver(this.#reached, entry.project);
    this.#share.charge(entry.project);
  }

  /** Charges a claim that was found, unless that was done before. */
  saw(entry: QueueEntry, fence = LISTED): void {
    const key = this.keyOf(entry);
    const charged = this.#charged.get(key);
    this.#charged.set(key, fence);
    if (charged !== fence && charged !== BEGUN) this.#share.charge(entry.project);
  }
}

function byPriority<T extends Waiting>(waiting: readonly T[]): T[][] {
  const tiers = new Map<number, T[]>();
  for (const entry of waiting) {
    const tier = tiers.get(entry.priority ?? 0);
    if (tier) tier.push(entry);
    else tiers.set(entry.priority ?? 0, [entry]);
  }
  return [...tiers].sort(([a], [b]) => b - a).map(([, tier]) => tier);
}

function linesOf<T extends Waiting>(entries: readonly T[]): Map<string, Line<T>> {
  const lines = new Map<string, Line<T>>();
  for (const entry of entries) {
    const line = lines.get(entry.project) ?? { project: entry.project, entries: [], at: 0 };
    line.entries.push(entry);
    lines.set(entry.project, line);
  }
  return lines;
}
