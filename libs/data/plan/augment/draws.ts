/**
 * Random draws for one purpose at one position of an epoch: a cursor over values that are pure functions of
 * (seed, purpose, epoch, position, attempt), see libs/random/philox.ts.
 */
import { normalQuantile } from '#random/normal.js';
import { PhiloxDraws, type PhiloxKey } from '#random/philox.js';

export class Draws {
  readonly #draws: PhiloxDraws;
  #next = 0;

  /** `epoch`, `position` and `attempt` must be below 2^32. `attempt` is 0 except for the replacement of an undecodable image. */
  constructor(key: PhiloxKey, epoch: number, position: number, attempt = 0) {
    this.#draws = new PhiloxDraws(key, epoch, position, attempt);
  }

  /** An unsigned 32-bit integer. */
  word(): number {
    return this.#draws.word(this.#next++);
  }

  /** A number in [0, 1) with 53 random bits. */
  unit(): number {
    this.#next += this.#next % 2;
    const value = this.#draws.uniform(this.#next / 2);
    this.#next += 2;
    return value;
  }

  /** A number in [low, high). */
  uniform(low: number, high: number): number {
    return low + this.unit() * (high - low);
  }

  /** An integer in [0, n). `n` must be at most 2^21, because the product is not exact above. */
  below(n: number): number {
    return Math.floor((this.word() * n) / 0x100000000);
  }

  /** An integer from low to high, both included. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with this probability: never at 0, always at 1. */
  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** A number strictly between 0 and 1. */
  openUnit(): number {
    this.#next += this.#next % 2;
    const value = this.#draws.uniformOpen(this.#next / 2);
    this.#next += 2;
    return value;
  }

  /** A standard normal value, by inversion. */
  normal(): number {
    return normalQuantile(this.openUnit());
  }
}
