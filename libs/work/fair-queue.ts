/**
 * The order in which one look at a queue goes through its entries: those of one project from the oldest on, and between projects as their fair shares
 * say, given the claims that have been seen by then.
 */
import { equalShares, FairShare, type ProjectShares } from './fair-share.js';
import type { QueueEntry } from './queue-index.js';

/** The entries of a project that were not reached yet. */
interface Line {
  readonly project: string;
  readonly entries: QueueEntry[];
  at: number;
}

/** In place of the fence of a claim that this process has begun: whoever wins it, it is one claim. */
const BEGUN = -1;

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

  /** All entries, each when its turn comes. @param entries the oldest first */
  *order(entries: readonly QueueEntry[]): Generator<QueueEntry, void, void> {
    const present = new Set(entries.map(this.keyOf));
    for (const key of this.#charged.keys()) if (!present.has(key)) this.#charged.delete(key);
    const lines = new Map<string, Line>();
    this.#reached = [];
    for (const entry of entries) {
      const line = lines.get(entry.project) ?? { project: entry.project, entries: [], at: 0 };
      line.entries.push(entry);
      lines.set(entry.project, line);
    }
    this.#share.present(new Set(lines.keys()));
    for (let line = this.#share.next(lines.values()); line !== undefined; line = this.#share.next(lines.values())) {
      yield line.entries[line.at++]!;
      if (line.at < line.entries.length) continue;
      lines.delete(line.project);
      this.#reached.push(line.project);
    }
  }

  /** Charges a claim that this process begins. */
  begins(entry: QueueEntry): void {
    this.#charged.set(this.keyOf(entry), BEGUN);
    this.#share.passOver(this.#reached, entry.project);
    this.#share.charge(entry.project);
  }

  /** Charges a claim that was found, unless that was done before. */
  saw(entry: QueueEntry, fence: number): void {
    const key = this.keyOf(entry);
    const charged = this.#charged.get(key);
    this.#charged.set(key, fence);
    if (charged !== fence && charged !== BEGUN) this.#share.charge(entry.project);
  }
}
