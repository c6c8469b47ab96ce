/**
 * A value that is read from elsewhere and kept. A young value is returned at once, an old one is read again first. In between, a reading begins, and
 * a caller who does not want to wait for it gets the value that is kept; so the age of what is returned is bounded by `staleMs`.
 */
import { orAborted } from './or-aborted.js';

export interface Freshness {
  /** A value up to this age in ms is returned without reading. */
  readonly freshMs: number;
  /** A value of more than this age in ms is never returned. */
  readonly staleMs: number;
  /** From when on the age counts: from the beginning of the reading (default), or from its end. */
  readonly from?: 'beginning' | 'end';
}

export class Refreshed<T> {
  #kept: { readonly value: T; readonly atMs: number } | undefined;
  #reading: Promise<T> | undefined;
  #version = 0;

  /** @param read reads the value; it gets the one that is kept, whatever its age */
  constructor(
    readonly read: (kept: T | undefined) => Promise<T>,
    public freshness: Freshness,
  ) {}

  /** The value that is kept, whatever its age; undefined if it was never read. */
  get kept(): T | undefined {
    return this.#kept?.value;
  }

  /** True if `get` would return the value without reading. */
  get isFresh(): boolean {
    return this.isYoungerThan(this.freshness.freshMs);
  }

  isYoungerThan(ms: number): boolean {
    return this.#ageMs() <= ms;
  }

  /**
   * The value. Calls at the same time share one reading.
   * @param impatient if the value is not stale, resolves with the kept one as soon as this promise resolves
   * @throws what `read` throws, and the signal's reason
   */
  async get(signal: AbortSignal, impatient?: Promise<unknown>): Promise<T> {
    const kept = this.#kept;
    if (kept !== undefined && this.isFresh) return kept.value;
    const reading = this.refresh();
    if (kept === undefined || impatient === undefined || this.#ageMs() > this.freshness.staleMs) return await orAborted(reading, signal);
    return await orAborted(Promise.race([reading, impatient.then(() => this.#kept?.value ?? kept.value)]), signal);
  }

  /** Reads the value, whatever its age; joins a reading in progress. A rejection that nobody awaits is not reported. */
  refresh(): Promise<T> {
    if (this.#reading) return this.#reading;
    const begunMs = performance.now();
    const version = this.#version;
    const reading = this.read(this.#kept?.value)
      .then((value) => {
        // What was set meanwhile is newer than what was read.
        if (this.#version === version) this.#kept = { value, atMs: this.freshness.from === 'end' ? performance.now() : begunMs };
        return value;
      })
      .finally(() => {
        if (this.#reading === reading) this.#reading = undefined;
      });
    reading.catch(() => {});
    this.#reading = reading;
    return reading;
  }

  /** Keeps a value that is known from elsewhere. */
  set(value: T): void {
    this.#version++;
    this.#kept = { value, atMs: performance.now() };
  }

  #ageMs(): number {
    return this.#kept === undefined ? Number.POSITIVE_INFINITY : performance.now() - this.#kept.atMs;
  }
}
