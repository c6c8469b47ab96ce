/** Collects steps and writes them to the log in the background, at most once per second. */
import type { StepMetrics } from '#protocol/dropstream/v1/trainer.js';

export interface StepsRecorderOptions {
  /** Appends one record; its error ends the recorder. */
  readonly append: (steps: StepMetrics[]) => Promise<void>;
  /** Smallest number of milliseconds between records; default 1000. */
  readonly everyMs?: number;
}

/** Bounds a record, and what is held while the store is slow. */
const maxSteps = 1000;
const maxHashes = 8192;
const maxHeld = 4 * maxSteps;

export class StepsRecorder {
  readonly #append: StepsRecorderOptions['append'];
  readonly #everyMs: number;
  #held: StepMetrics[] = [];
  #writing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor({ append, everyMs = 1000 }: StepsRecorderOptions) {
    this.#append = append;
    this.#everyMs = everyMs;
  }

  /** Adds a step. Waits only if the store is far behind. @throws the error of an earlier append */
  async add(step: StepMetrics): Promise<void> {
    this.#held.push(step);
    this.#throwFailure();
    if (this.#held.length >= maxHeld) await this.flush();
    else if (this.#held.length >= maxSteps) this.#begin();
    else this.#schedule();
  }

  /** Resolves when all steps added so far are in the log. */
  async flush(): Promise<void> {
    while (this.#held.length > 0 || this.#writing !== undefined) {
      this.#throwFailure();
      this.#begin();
      await this.#writing;
    }
    this.#throwFailure();
  }

  /** Drops the collected steps. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#held = [];
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#writing !== undefined) return;
    const rest = this.#lastMs + this.#everyMs - performance.now();
    if (rest <= 0) this.#begin();
    else this.#timer = setTimeout(() => this.#begin(), rest);
  }

  #begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writing !== undefined || this.#held.length === 0 || this.#failure !== undefined) return;
    const steps = this.#held.splice(0, countThatFits(this.#held));
    this.#lastMs = performance.now();
    this.#writing = this.#append(steps)
      .catch((error) => {
        this.#failure = { error };
      })
      .then(() => {
        this.#writing = undefined;
        if (this.#held.length > 0 && this.#failure === undefined) this.#schedule();
      });
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

function countThatFits(steps: readonly StepMetrics[]): number {
  let hashes = 0;
  for (let count = 0; count < Math.min(steps.length, maxSteps); count++) {
    hashes += steps[count]!.batchSha256.length;
    if (hashes > maxHashes && count > 0) return count;
  }
  return Math.min(steps.length, maxSteps);
}
