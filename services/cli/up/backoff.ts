/** Computes how long to wait before a crashed child is restarted. */
const FIRST_MS = 250;
const LONGEST_MS = 15_000;
/** If a child ran for at least this long, its next restarts are at once again. */
const PROVEN_MS = 5000;
/** So many restarts in a row are at once: whoever kills a service again right after its restart should not wait for it longer than the first time. */
const AT_ONCE = 3;

export class Backoff {
  /** Short lives in a row after the first one. */
  #failures = -1;

  /**
   * Milliseconds to wait before the next restart: three times none, then 250, 500, 1,000 … 15,000.
   * @param livedMs milliseconds that the child ran
   */
  next(livedMs: number): number {
    this.#failures = livedMs >= PROVEN_MS ? 0 : this.#failures + 1;
    return this.#failures < AT_ONCE ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** (this.#failures - AT_ONCE));
  }
}
