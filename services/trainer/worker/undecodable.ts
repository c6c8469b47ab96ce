/** Counts samples that cannot be decoded, reports each of them once, and fails the run if there are too many. */
import type { ReplacedSample } from '#protocol/dropstream/v1/data.js';

/** More samples cannot be decoded than the run allows. */
export class TooManyUndecodable extends Error {
  override readonly name = 'TooManyUndecodable';
  constructor(
    readonly paths: readonly string[],
    readonly allowed: number,
  ) {
    const shown = paths.slice(0, 20).join(', ');
    super(`${paths.length} samples cannot be decoded; max_undecodable allows ${allowed}: ${shown}${paths.length > 20 ? ', …' : ''}`);
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

  /** Adds the replaced samples of a step. @returns the paths that are new */
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
