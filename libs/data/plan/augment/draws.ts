/**
 * Random draws for one purpose at one position of an epoch: a cursor over values that are pure functions of
 * (seed, purpose, epoch, position, attempt), see libs/random/philox.ts.
 */
import { normalQuantile } from '#random/normal.js';
import { PhiloxDraws, type PhiloxKey } from '#random/philox.js';

export class Draws {
  readonly #draws: PhiloxDraws;
  #next = 0;

  /** `epoch`, `position` and `attempt` (0 but for the stand-in of an undecodable image) are below 2^32. */
  constructor(key: PhiloxKey, epoch: number, position: number, attempt = 0) {
    this.#draws = new PhiloxDraws(key, epoch, position, attempt);
  }

  /** Unsigned, 32 bits. */
  word(): number {
    return this.#draws.word(this.#next++);
  }

  /** [0, 1), 53 bits. */
  unit(): number {
    this.#next += this.#next % 2;
    const value = this.#draws.uniform(this.#next / 2);
    this.#next += 2;
    return value;
  }

  /** [low, high). */
  uniform(low: number, high: number): number {
    return low + this.unit() * (high - low);
  }

  /** An integer in [0, n), n ≤ 2^21: above that the product is no longer exact. */
  below(n: number): number {
    return Math.floor((this.word() * n) / 0x100000000);
  }

  /** An integer in [low, high], both included. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with this probability; never at 0, always at 1. */
  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** Strictly inside (0, 1). */
  openUnit(): number {
    this.#next += this.#next % 2;
    const value = this.#draws.uniformOpen(this.#next / 2);
    this.#next += 2;
    return value;
  }

  /** Standard normal, by inversion. */
  normal(): number {
    return normalQuantile(this.openUnit());
  }
}
