/** Values of steps for a curve, in bounded memory: means over equal ranges of steps, which become twice as long whenever there are too many. */
const MOST_RANGES = 1024;

export class StepMeans {
  /** Steps of a range. */
  #width = 1;
  #sums: number[] = [];
  #counts: number[] = [];

  /** `step`: from 0. A value that is no number counts as none. */
  push(step: number, value: number): void {
    if (!Number.isFinite(value)) return;
    while (Math.floor(step / this.#width) >= MOST_RANGES) this.#double();
    const range = Math.floor(step / this.#width);
    while (this.#sums.length <= range) {
      this.#sums.push(0);
      this.#counts.push(0);
    }
    this.#sums[range]! += value;
    this.#counts[range]! += 1;
  }

  /** Forgets the steps from `step` on, which a resume does again; a range that has steps before it, too, is kept. */
  truncate(step: number): void {
    const kept = Math.ceil(step / this.#width);
    this.#sums.length = this.#counts.length = Math.min(kept, this.#sums.length);
  }

  /** Means by range; undefined where no step has a value. */
  get values(): (number | undefined)[] {
    return this.#sums.map((sum, k) => (this.#counts[k] === 0 ? undefined : sum / this.#counts[k]!));
  }

  #double(): void {
    const halve = (from: readonly number[]) =>
      Array.from({ length: Math.ceil(from.length / 2) }, (_, k) => from[2 * k]! + (from[2 * k + 1] ?? 0));
    this.#sums = halve(this.#sums);
    this.#counts = halve(this.#counts);
    this.#width *= 2;
  }
}
