/** Samples that could not be decoded: named once each, and too many of them end the run. */
import type { ReplacedSample } from '#protocol/dropstream/v1/data.js';

/** More of the data cannot be decoded than the run accepts. */
export class TooManyUndecodable extends Error {
  override readonly name = 'TooManyUndecodable';
  constructor(
    readonly paths: readonly string[],
    readonly allowed: number,
  ) {
    const shown = paths.slice(0, 20).join(', ');
    super(`${paths.length} samples cannot be decoded, at most ${allowed} may (max_undecodable): ${shown}${paths.length > 20 ? ', …' : ''}`);
  }
}

export class Undecodable {
  readonly #paths: Set<string>;
  readonly #allowed: number;

  /** `share`: of `samples`, that may be undecodable. `known`: paths of earlier attempts. */
  constructor(share: number, samples: number, known: readonly string[]) {
    this.#allowed = Math.floor(share * samples);
    this.#paths = new Set(known);
  }

  get paths(): string[] {
    return [...this.#paths];
  }

  /** Takes what a step replaced; returns the paths seen for the first time. */
  add(replaced: readonly ReplacedSample[]): string[] {
    const fresh = [...new Set(replaced.map(({ path }) => path))].filter((path) => !this.#paths.has(path));
    for (const path of fresh) this.#paths.add(path);
    return fresh;
  }

  /** @throws TooManyUndecodable */
  check(): void {
    if (this.#paths.size > this.#allowed) throw new TooManyUndecodable(this.paths, this.#allowed);
  }
}
