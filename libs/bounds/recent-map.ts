/**
 * A map of at most `limit` entries, or, with `sizeOf`, of entries whose sizes are at most `limit` together; drops the one that was not used for the longest
 * time, but never the newest one. Values must not be undefined, and keep their size.
 */
export class RecentMap<K, V> {
  readonly #map = new Map<K, V>();
  #size = 0;

  constructor(
    readonly limit: number,
    private readonly sizeOf: (value: V) => number = () => 1,
  ) {}

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
    this.delete(key);
    this.#map.set(key, value);
    this.#size += this.sizeOf(value);
    while (this.#size > this.limit && this.#map.size > 1) this.delete(this.#map.keys().next().value as K);
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
    const value = this.#map.get(key);
    if (value === undefined) return;
    this.#map.delete(key);
    this.#size -= this.sizeOf(value);
  }
}
