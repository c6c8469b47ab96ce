/**
 * What the owner of work writes into the queue for others: that it waits no more, that its owner is alive, that more members may join, and at the end
 * that it waits again or is over. All of it only saves reading: whatever is lost here, a sweep finds by the log (queue-survey.ts).
 */
import type { Standing } from './claimed-log.js';
import type { QueueEntry } from './queue-entry.js';
import type { Place } from './queue-hints.js';
import type { QueueIndex } from './queue-index.js';
import { QueueTouch } from './queue-touch.js';
import type { Wish } from './wanted-of.js';

export interface ClaimHintsOptions {
  readonly queue: QueueIndex;
  readonly entry: QueueEntry;
  readonly place: Place;
  /** Of the claim. */
  readonly fence: number;
  /** Time between two signs of life. */
  readonly intervalMs: number;
  readonly onError: (error: unknown) => void;
}

const wishes = ['join', 'need'] as const;

/** Longest time for writing or removing a hint. */
const hintMs = 10_000;

export class ClaimHints {
  readonly #options: ClaimHintsOptions;
  readonly #touch: QueueTouch;
  readonly #taken: Promise<void>;
  #wanted: Wish = 'none';
  /** What others were told last; undefined if that is not known, because writing it failed or goes on. */
  #told: Wish | undefined = 'none';
  /** What they are told is written in order. */
  #telling: Promise<void> = Promise.resolve();
  #pending = 0;

  private constructor(options: ClaimHintsOptions) {
    const { queue, entry, place } = options;
    this.#options = options;
    this.#touch = QueueTouch.start({ ...options, also: () => this.#tellAgain() });
    this.#taken = this.#try((signal) => queue.hints.remove('claim', entry, place, signal));
  }

  /** Whoever starts it, with the claim, stops it. */
  static start(options: ClaimHintsOptions): ClaimHints {
    return new ClaimHints(options);
  }

  /** Tells workers without work of their own whether more of them may join; at first, none may. */
  async wantMembers(wanted: Wish): Promise<void> {
    this.#wanted = wanted;
    await this.#next(() => this.#wanted === this.#told);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#touch.stop(), this.#taken, this.wantMembers('none')]);
  }

  /**
   * Leaves the queue as others expect it: work that waits has a hint, and work that is over has no entry.
   * @param standing reads it again: the work may be queued again while its entry is removed
   */
  async leave({ state }: Standing, standing: (signal: AbortSignal) => Promise<Standing | undefined>): Promise<void> {
    const { queue, entry, place } = this.#options;
    await this.#try(async (signal) => {
      if (state === 'waiting') await queue.hints.add('claim', entry, place, signal);
      if (state !== 'over') return;
      await queue.remove(entry, signal);
      if ((await standing(signal))?.state !== 'waiting') return;
      await queue.add(entry, signal);
      await queue.hints.add('claim', entry, place, signal);
    });
  }

  /** No sweep finds a hint that could not be written, or that another worker has removed because it was a former owner's. */
  #tellAgain(): void {
    if (this.#pending === 0) void this.#next(() => this.#told === 'none' && this.#wanted === 'none');
  }

  #next(isDone: () => boolean): Promise<void> {
    this.#pending++;
    this.#telling = this.#telling
      .then(() => (isDone() ? undefined : this.#tell(this.#wanted)))
      .finally(() => {
        this.#pending--;
      });
    return this.#telling;
  }

  async #tell(wanted: Wish): Promise<void> {
    const { queue, entry, place } = this.#options;
    this.#told = undefined;
    await this.#try(async (signal) => {
      if (wanted !== 'none') await queue.hints.add(wanted, entry, place, signal);
      // A former owner may have left one behind.
      for (const wish of wishes) if (wish !== wanted) await queue.hints.remove(wish, entry, place, signal);
      this.#told = wanted;
    });
  }

  async #try(write: (signal: AbortSignal) => Promise<void>): Promise<void> {
    await write(AbortSignal.timeout(hintMs)).catch(this.#options.onError);
  }
}
