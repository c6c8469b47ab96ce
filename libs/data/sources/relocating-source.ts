/**
 * Samples that stay readable when their data set moves. The newest index decides where bytes are read: at once where they are gone or others, within
 * seconds where the old ones are still there.
 */
import { DataLoss } from '#errors/errors.js';
import type { SampleSource, SourceReadOptions } from '../datasets/sample-source.js';

export interface Found {
  readonly source: SampleSource;
  /** What the newest index said. */
  readonly place: string;
}

const LOOK_AGAIN_MS = 5_000;

export class RelocatingSource implements SampleSource {
  #current: SampleSource;
  #place: string;
  #nextLook: number;
  #looking: Promise<void> | undefined;
  readonly #closing = new AbortController();
  #finding: Promise<boolean> | undefined;
  /** The one before: reads may be under way in it. */
  readonly #left: SampleSource[] = [];

  constructor(
    first: Found,
    /** Looks again, from the beginning. The source is the caller's. */
    private readonly find: () => Promise<Found>,
    /** What the newest index says now. */
    private readonly placeNow: (signal: AbortSignal) => Promise<string>,
    /** Time between looks at the newest index while all is well. */
    private readonly lookAgainMs = LOOK_AGAIN_MS,
  ) {
    this.#current = first.source;
    this.#place = first.place;
    this.#nextLook = performance.now() + lookAgainMs;
  }

  async read(samples: readonly number[], options?: SourceReadOptions): Promise<Uint8Array[]> {
    this.#lookAgain();
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
    this.#closing.abort();
    await this.#looking;
    await this.#finding;
    await Promise.all([this.#current, ...this.#left].map((source) => source.close()));
  }

  /** Beside the reads, which do not wait for the store. */
  #lookAgain(): void {
    if (this.#looking !== undefined || this.#closing.signal.aborted || performance.now() < this.#nextLook) return;
    const used = this.#current;
    this.#looking = this.placeNow(this.#closing.signal)
      .then(async (place) => {
        if (place !== this.#place) await this.#relocate(used);
      })
      // A store that is away says nothing new; what is open stays open.
      .catch(() => {})
      .finally(() => {
        this.#nextLook = performance.now() + this.lookAgainMs;
        this.#looking = undefined;
      });
  }

  /** True: `used` has been replaced, by this call or by another one in the meantime. */
  async #relocate(used: SampleSource): Promise<boolean> {
    if (this.#current !== used) return true;
    this.#finding ??= this.find()
      .then(
        async ({ source, place }) => {
          this.#place = place;
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
