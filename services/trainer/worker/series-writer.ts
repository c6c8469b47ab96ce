/** Makes the series of a run while it is trained, in the background, so that whoever looks at a long run does not have to wait for it. */
import type { ObjectStore } from '#storage/object-store.js';
import type { RunKey } from '../run/run-log.js';
import { SeriesStore } from '../run/series/series-store.js';

export class SeriesWriter {
  readonly #series: SeriesStore;
  readonly #ending = new AbortController();
  #made: number;
  #work: Promise<void> | undefined;

  /** @param sequence the newest record; what is missing before it is made by whoever needs it */
  constructor(
    store: ObjectStore,
    private readonly key: RunKey,
    sequence: number,
  ) {
    // Nobody else waits for what is made here, and a run that has ended may be deleted at once.
    this.#series = new SeriesStore(store, undefined, this.#ending.signal);
    this.#made = Math.floor(sequence / this.#series.shape.blockRecords);
  }

  /** The log has this many records. Returns at once. */
  saw(sequence: number): void {
    if (Math.floor(sequence / this.#series.shape.blockRecords) <= this.#made || this.#ending.signal.aborted) return;
    this.#work ??= this.#make(this.#made++).finally(() => {
      this.#work = undefined;
    });
  }

  /** Ends what is under way; it is not needed. */
  close(): void {
    this.#ending.abort();
  }

  async #make(block: number): Promise<void> {
    const { signal } = this.#ending;
    const { chapterBlocks } = this.#series.shape;
    try {
      await this.#series.block(this.key, block, signal);
      if ((block + 1) % chapterBlocks === 0) await this.#series.chapter(this.key, Math.floor(block / chapterBlocks), signal);
    } catch {
      // Whoever needs it makes it, and hears then what is wrong.
    }
  }
}
