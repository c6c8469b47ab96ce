/** How long to wait before a child that died is started again. */
const FIRST_MS = 250;
const LONGEST_MS = 15_000;
/** A child that lived this long has proved itself: its next restart is quick again. */
const PROVEN_MS = 30_000;

export class Backoff {
  #failures = 0;

  /** Milliseconds to wait after a life of `livedMs`: 250, 500, 1,000 … 15,000. */
  next(livedMs: number): number {
    this.#failures = livedMs >= PROVEN_MS ? 1 : this.#failures + 1;
    return Math.min(LONGEST_MS, FIRST_MS * 2 ** (this.#failures - 1));
  }
}
