/** A map of at most `limit` entries; drops the one that was not used for the longest time. Values must not be undefined. */
export class RecentMap<K, V> {
  readonly #map = new Map<K, V>();

  constructor(readonly limit: number) {}

  /** The keys, those that were not used for the longest time first. */
  keys(): IterableIterator<K> {
    return this.#map.keys();
  }

  get size(): number {
    return this.#map.size;
  }

  get(key: K): V | undefined {
    const value = this.#map.get(key);
    if (value !== undefined) {
      this.#map.delete(key);
      this.#map.set(key, value);
    }
    return value;
  }

  /** The value of a key, which does not count as a use. */
  peek(key: K): V | undefined {
    return this.#map.get(key);
  }

  set(key: K, value: V): void {
    this.#map.delete(key);
    this.#map.set(key, value);
    if (this.#map.size > this.limit) this.#map.delete(this.#map.keys().next().value as K);
  }

  /** The value of `key`; it is made if there is none. */
  getOrMake(key: K, make: () => V): V {
    const known = this.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.set(key, made);
    return made;
  }

  delete(key: K): void {
    this.#map.delete(key);
  }
}
