/**
 * The micro-batches of leaves. Those of the home leaves are fetched ahead, step after step. Those of another leaf, which a lost or slow member left behind,
 * are fetched when they are asked for.
 */
import { leafRanges } from '#engine/index.js';
import type { PreparedBatch, PreparedBatches } from '#training/prepared-batches.js';
import { releaseBatches, takeBatches } from '../take-batches.js';

/** Which micro-batches are read: from a step on, those for which `takes` is true by their index within their step. */
export interface LeafReading {
  readonly fromStep: number;
  readonly takes: (step: number, index: number) => boolean;
  /** Number of micro-batches that a step takes of it. */
  readonly perStep: number;
  /** Number of micro-batches after which the reading ends; undefined: with the run. */
  readonly most: number | undefined;
}

export interface LeafBatchesOptions {
  /** Micro-batches of a step. */
  readonly microBatches: number;
  readonly leaves: number;
  readonly open: (reading: LeafReading) => PreparedBatches;
}

export class LeafBatches {
  readonly #options: LeafBatchesOptions;
  readonly #ranges: readonly { begin: number; end: number }[];
  #home: readonly number[] = [];
  #ahead: PreparedBatches | undefined;
  /** The next leaf that the batches ahead belong to. */
  #next = { step: 0, at: 0 };

  /** The owner closes it. */
  constructor(options: LeafBatchesOptions) {
    this.#options = options;
    this.#ranges = leafRanges(options.microBatches, options.leaves);
  }

  /** Fetches these leaves ahead from now on, beginning with those of a step. What was fetched for others is dropped. */
  async use(leaves: readonly number[], step: number): Promise<void> {
    const home = [...leaves].sort((a, b) => a - b);
    if (this.#ahead !== undefined && home.join() === this.#home.join() && this.#next.step === step && this.#next.at === 0) return;
    await this.#drop();
    this.#home = home;
    this.#next = { step, at: 0 };
    if (home.length === 0) return;
    this.#ahead = this.#open(home, step);
  }

  /** The micro-batches of a leaf, which the caller releases. @throws what fetching throws; the signal's reason */
  async take(step: number, leaf: number, signal: AbortSignal): Promise<PreparedBatch[]> {
    const count = this.#count(leaf);
    // After a failure, fetching ahead goes on with the next step.
    if (this.#ahead === undefined && leaf === this.#home[0]) {
      this.#next = { step, at: 0 };
      this.#ahead = this.#open(this.#home, step);
    }
    try {
      if ((await this.#advance(step, leaf, signal)) && this.#ahead !== undefined) {
        const taken = await takeBatches(this.#ahead, count, 'a leaf', signal);
        this.#passed();
        return taken;
      }
    } catch (error) {
      // A part of a leaf may have been taken.
      await this.#drop();
      throw error;
    }
    const once = this.#open([leaf], step, count);
    try {
      return await takeBatches(once, count, 'a leaf', signal);
    } finally {
      await once.close();
    }
  }

  async close(): Promise<void> {
    this.#home = [];
    await this.#drop();
  }

  /** Drops what was fetched for earlier leaves. @returns whether the leaf is the next one of those that were fetched ahead */
  async #advance(step: number, leaf: number, signal: AbortSignal): Promise<boolean> {
    if (this.#ahead === undefined || !this.#home.includes(leaf)) return false;
    const isBefore = (): boolean => this.#next.step < step || (this.#next.step === step && this.#nextLeaf() < leaf);
    while (isBefore()) {
      releaseBatches(await takeBatches(this.#ahead, this.#count(this.#nextLeaf()), 'a leaf', signal));
      this.#passed();
    }
    return this.#next.step === step && this.#nextLeaf() === leaf;
  }

  #nextLeaf(): number {
    return this.#home[this.#next.at] as number;
  }

  #passed(): void {
    const { step, at } = this.#next;
    this.#next = at + 1 < this.#home.length ? { step, at: at + 1 } : { step: step + 1, at: 0 };
  }

  #count(leaf: number): number {
    const { begin, end } = this.#ranges[leaf] as { begin: number; end: number };
    return end - begin;
  }

  /** With `most`, only those of the one step. */
  #open(leaves: readonly number[], fromStep: number, most?: number): PreparedBatches {
    const ranges = leaves.map((leaf) => this.#ranges[leaf] as { begin: number; end: number });
    return this.#options.open({
      fromStep,
      most,
      perStep: leaves.reduce((sum, leaf) => sum + this.#count(leaf), 0),
      takes: (step, index) => (most === undefined || step === fromStep) && ranges.some(({ begin, end }) => index >= begin && index < end),
    });
  }

  async #drop(): Promise<void> {
    const dropped = this.#ahead;
    this.#ahead = undefined;
    await dropped?.close();
  }
}
