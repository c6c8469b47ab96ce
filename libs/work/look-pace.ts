/**
 * How often a worker with free slots looks at the queue: every `pollMs` while it is one of few, and the less often the more there are, so that all of
 * them together look from three to ten times in each `pollMs`, until each waits `maxFactor` times as long.
 *
 * Nobody counts them. Each look leaves a mark with a probability that falls with the pause, and finds out by the same listing whether another one left
 * its mark since its last look: then there are many, and it looks less often; otherwise there are few, and it looks more often.
 */

/** Looks of all workers together in each `pollMs`. */
const looksPerPoll = 8;
/** The pauses settle where about two of three looks find a new mark, which is at one mark for each pause. */
const [slower, faster] = [1.25, 1.5];
/** Pauses of several workers must not fall together. */
const jitter = 0.3;

export interface LookPaceOptions {
  readonly pollMs: number;
  /** Default 10. */
  readonly maxFactor?: number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

export class LookPace {
  readonly #options: LookPaceOptions;
  #pauseMs: number;
  /** Undefined if a change since would tell nothing. */
  #seen: string | undefined;

  constructor(options: LookPaceOptions) {
    this.#options = options;
    this.#pauseMs = options.pollMs;
  }

  /** How much longer than `pollMs` its pauses are. */
  get factor(): number {
    return this.#pauseMs / this.#options.pollMs;
  }

  /** Must be called with the mark that each look has found. @returns true if the caller should leave one now */
  looked(mark: string): boolean {
    const { pollMs, maxFactor = 10, random } = this.#options;
    if (this.#seen !== undefined) {
      const next = mark === this.#seen ? this.#pauseMs / faster : this.#pauseMs * slower;
      this.#pauseMs = Math.max(pollMs, Math.min(maxFactor * pollMs, next));
    }
    const leaves = random() < pollMs / (looksPerPoll * this.#pauseMs);
    // One's own mark changes it, too.
    this.#seen = leaves ? undefined : mark;
    return leaves;
  }

  /** Milliseconds until the next look. */
  next(): number {
    return this.#pauseMs * (1 - jitter * this.#options.random());
  }
}
