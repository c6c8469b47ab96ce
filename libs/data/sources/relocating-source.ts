/** Samples that stay readable when their data set moves: where bytes are gone or others, the newest index says where they are now. */
import { DataLoss } from '#errors/errors.js';
import type { SampleSource, SourceReadOptions } from '../datasets/sample-source.js';

export class RelocatingSource implements SampleSource {
  #current: SampleSource;
  #finding: Promise<boolean> | undefined;
  /** The one before: reads may be under way in it. */
  readonly #left: SampleSource[] = [];

  constructor(
    first: SampleSource,
    /** Looks again, from the beginning. The source is the caller's. */
    private readonly find: () => Promise<SampleSource>,
  ) {
    this.#current = first;
  }

  async read(samples: readonly number[], options?: SourceReadOptions): Promise<Uint8Array[]> {
    const used = this.#current;
    try {
      return await used.read(samples, options);
    } catch (error) {
      if (!(error instanceof DataLoss)) throw error;
      options?.signal?.throwIfAborted();
      if (!(await this.#relocate(used))) throw error;
      return await this.#current.read(samples, options);
    }
  }

  async forget(sample: number): Promise<boolean> {
    const used = this.#current;
    const dropped = await used.forget(sample);
    return (await this.#relocate(used)) || dropped;
  }

  async close(): Promise<void> {
    await this.#finding;
    await Promise.all([this.#current, ...this.#left].map((source) => source.close()));
  }

  /** True: `used` has been replaced, by this call or by another one in the meantime. */
  async #relocate(used: SampleSource): Promise<boolean> {
    if (this.#current !== used) return true;
    this.#finding ??= this.find()
      .then(
        async (source) => {
          const left = this.#left.shift();
          this.#left.push(this.#current);
          this.#current = source;
          await left?.close();
          return true;
        },
        // Where it is nowhere else, what went wrong before says more.
        () => false,
      )
      .finally(() => {
        this.#finding = undefined;
      });
    return await this.#finding;
  }
}
