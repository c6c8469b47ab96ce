/** Computes how long to wait before a crashed child is restarted. */
const FIRST_MS = 250;
const LONGEST_MS = 15_000;
/** If a child ran for at least this long, its next restart is quick again. */
const PROVEN_MS = 5000;

export class Backoff {
  #failures = 0;

  /** Milliseconds to wait before the next restart: 250, 500, 1,000 … 15,000. @param livedMs milliseconds that the child ran */
  next(livedMs: number): number {
    this.#failures = livedMs >= PROVEN_MS ? 1 : this.#failures + 1;
    return Math.min(LONGEST_MS, FIRST_MS * 2 ** (this.#failures - 1));
  }
}
