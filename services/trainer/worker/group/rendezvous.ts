/** Values that members of a generation leave for each other before they are connected. They lie with the leader, in memory. */

import { orAborted } from '#bounds/or-aborted.js';
import type { RendezvousStore } from '#collectives/index.js';
import { Aborted, invalid } from '#errors/errors.js';

/** Enough for every pair of the largest group. */
const mostKeys = 4096;
const longestKey = 256;
const largestValue = 64 << 10;

export class Rendezvous {
  #generation = 0;
  #values = new Map<string, Uint8Array>();
  #waiting: (() => void)[] = [];
  #over = new AbortController();

  /** Forgets what belongs to earlier generations; whoever waits for it gets Aborted. */
  begin(generation: number): void {
    this.#over.abort(new Aborted('generation', String(this.#generation), `generation ${generation} has begun`));
    this.#over = new AbortController();
    this.#generation = generation;
    this.#values = new Map();
    this.#waiting = [];
  }

  /** @throws Aborted for another generation; InvalidArgument for a key or a value that is too large */
  put(generation: number, key: string, value: Uint8Array): void {
    this.#check(generation);
    if (key.length === 0 || key.length > longestKey) throw invalid('key', key.slice(0, longestKey), `1 to ${longestKey} characters`);
    if (value.length > largestValue) throw invalid('value', `${value.length} bytes`, `at most ${largestValue} bytes`);
    if (this.#values.size >= mostKeys) throw invalid('key', key, `one of at most ${mostKeys} keys of a generation`);
    this.#values.set(key, value);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves when the value is there. @throws Aborted for another generation; the signal's reason */
  async get(generation: number, key: string, signal: AbortSignal): Promise<Uint8Array> {
    this.#check(generation);
    const ends = AbortSignal.any([signal, this.#over.signal]);
    for (;;) {
      ends.throwIfAborted();
      const value = this.#values.get(key);
      if (value !== undefined) return value;
      const put = new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
      await orAborted(put, ends);
    }
  }

  /** For the leader's own mesh. */
  keysOf(generation: number): RendezvousStore {
    return {
      set: async (key, value) => this.put(generation, key, value),
      get: (key, signal) => this.get(generation, key, signal),
    };
  }

  #check(generation: number): void {
    if (generation !== this.#generation)
      throw new Aborted('generation', String(generation), `generation ${this.#generation} of the group is the present one`);
  }
}
