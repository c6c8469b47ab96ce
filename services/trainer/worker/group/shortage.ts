/**
 * What becomes of runs that have fewer workers than they need (workers.min). A worker that holds such a run and does nothing keeps itself from others, so that
 * two such runs could wait for each other for ever. So its leader gives the run back:
 *
 * - after `patienceMs`, if another run that waits for workers comes before it, by priority and age. All processes see the same order, so the first such run
 *   is not given back for this reason, and gets the workers of all others.
 * - after four times that, if any run waits for a worker: then there are too few workers for this one.
 *
 * Whoever has held the run, or has waited with its leader, shuns it for a while, so that the others get those workers.
 */
import { RecentMap } from '#bounds/recent-map.js';
import { keyOfEntry } from '#work/queue-entry.js';
import { comesBefore, type Hint, type HintKind, type Hints, type Place } from '#work/queue-hints.js';
import type { QueueEntry } from '#work/queue-index.js';

/** Multiples of the patience: after which anything that waits counts, and for how long a run is shunned the first time, and at most. */
const [untilAnything, firstShun, longestShun] = [4, 4, 32];
const remembered = 1024;
/** Number of runs that are read at a look to find out whether their hints hold; the next look goes on with the others. */
const mostRead = 32;

export interface ShortageOptions {
  /** Reads what waits. */
  readonly hints: { list(signal: AbortSignal): Promise<Hints> };
  /**
   * What a run wants by its log and its owner: a hint may be left over of what it wanted before. `claim` only if this process could claim the run: to give its
   * own run back for one that it leaves to others would help nobody.
   */
  readonly wantedOf: (entry: QueueEntry, signal: AbortSignal) => Promise<HintKind | 'none'>;
  /** How long a leader waits for workers, in ms, before it looks whether others could use its own. */
  readonly patienceMs: number;
  /** Monotonic time in ms; default performance.now. */
  readonly clock?: () => number;
}

export class Shortage {
  readonly #options: ShortageOptions;
  readonly #clock: () => number;
  /** Where the next look begins, if there are more hints of a kind than one look reads. */
  readonly #from = { need: 0, claim: 0 };
  readonly #shunned = new RecentMap<string, { readonly untilMs: number; readonly times: number }>(remembered);

  constructor(options: ShortageOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** How often a leader that waits should look, in ms. */
  get lookMs(): number {
    return Math.max(50, this.#options.patienceMs / 4);
  }

  /** Whether this process leaves the run to others, and neither claims nor joins it. */
  isShunned(uid: string): boolean {
    return this.#clock() < (this.#shunned.get(uid)?.untilMs ?? Number.NEGATIVE_INFINITY);
  }

  /** Called when the run was given back. Every time that it comes to that, the run is shunned twice as long. */
  shun(uid: string): void {
    const times = this.#shunned.get(uid)?.times ?? 0;
    const factor = Math.min(longestShun, firstShun * 2 ** Math.min(10, times));
    this.#shunned.set(uid, { untilMs: this.#clock() + factor * this.#options.patienceMs, times: times + 1 });
  }

  /** The run has what it needs. */
  forget(uid: string): void {
    this.#shunned.delete(uid);
  }

  /** Why the run is to be given back, for people; undefined if it may go on waiting. @throws errors of the store; the signal's reason */
  async reasonToGiveBack(own: QueueEntry & Place, waitedMs: number, signal: AbortSignal): Promise<string | undefined> {
    const { hints, patienceMs } = this.#options;
    if (waitedMs < patienceMs) return undefined;
    const { needs, claims } = await hints.list(signal);
    const isOther = (hint: Hint): boolean => keyOfEntry(hint) !== keyOfEntry(own) && !this.isShunned(hint.uid);
    const before = needs.filter((hint) => isOther(hint) && comesBefore(hint, own));
    if (await this.#anyIs('need', before, signal)) return 'a run that comes before it waits for workers, too';
    if (waitedMs < untilAnything * patienceMs) return undefined;
    return (await this.#anyIs('claim', claims.filter(isOther), signal)) ? 'other runs wait for a worker' : undefined;
  }

  /** Whether one of the runs still wants what its hint says. One that cannot be read is no reason. */
  async #anyIs(kind: 'need' | 'claim', hints: readonly Hint[], signal: AbortSignal): Promise<boolean> {
    const from = hints.length > mostRead ? this.#from[kind] % hints.length : 0;
    this.#from[kind] = from + mostRead;
    for (const { project, id, uid } of [...hints.slice(from), ...hints.slice(0, from)].slice(0, mostRead)) {
      const wanted = await this.#options.wantedOf({ project, id, uid }, signal).catch(() => 'none');
      signal.throwIfAborted();
      if (wanted === kind) return true;
    }
    return false;
  }
}
