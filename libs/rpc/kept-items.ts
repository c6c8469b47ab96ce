/**
 * What lists show of each resource, kept in the process and read again when it is old, so that a page does not cost a reading per item. Everything is
 * read with a limited number of requests at a time, for all calls together.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Limiter } from '#bounds/limiter.js';
import { RecentMap } from '#bounds/recent-map.js';
import { type Freshness, Refreshed } from '#bounds/refreshed.js';
import { damageOf } from './list-page.js';

export interface KeptItem {
  /** Of two items with one uid, the one with the greater number is newer. */
  readonly uid: string;
  readonly number: number;
  /** True if the resource can no longer change, except that it can be deleted. */
  readonly isFinal: boolean;
  /** When the resource was last read in full, in ms of performance.now(). See fullLookMs. */
  readonly readMs: number;
}

/**
 * After this time in ms, an item is read in full again, which shows damage and a deletion that was interrupted. In between, a look may be content with
 * seeing that nothing was added: what is deleted is no longer among the names that a list reads.
 */
export const fullLookMs = 60_000;

/** An item is shown without a look at the store up to the first age, and never beyond the second one. */
export const listFreshness: Freshness = { freshMs: 2000, staleMs: 5000 };
/** How long a list waits for readings of items that are neither fresh nor stale, in ms. */
const patienceMs = 20;
/** Number of items that are read at the same time. */
const width = 16;
/** Number of items that one look at all of them reads at the same time; less, because pages must not wait for it. */
const widthOfAll = 8;
/** How long one reading may take, in ms. */
const readingMs = 30_000;

type Found<T> = { readonly item: T | undefined } | { readonly error: Error };

export interface KeptItemsOptions<T> {
  /**
   * Reads the item of a key; undefined if there is none. `kept` is what was read before, and may be returned if it is still right.
   * Damage is an error (see damageOf).
   */
  readonly read: (key: string, kept: T | undefined, signal: AbortSignal) => Promise<T | undefined>;
  /** Largest number of items that are kept. */
  readonly limit: number;
}

export class KeptItems<T extends KeptItem> {
  readonly #options: KeptItemsOptions<T>;
  readonly #items: RecentMap<string, Refreshed<Found<T>>>;
  readonly #limiter = new Limiter(width);
  readonly #closing = new AbortController();

  constructor(options: KeptItemsOptions<T>) {
    this.#options = options;
    this.#items = new RecentMap(options.limit);
  }

  get limit(): number {
    return this.#options.limit;
  }

  /** Resolves when a list should no longer wait for what is not stale. One for each list. */
  static impatience(): Promise<unknown> {
    return delay(patienceMs, undefined, { ref: false });
  }

  /** The item; undefined if there is none. @throws the damage of the item; errors of the store; the signal's reason */
  async get(key: string, signal: AbortSignal, impatient?: Promise<unknown>): Promise<T | undefined> {
    return unwrap(await this.#entry(key).get(signal, impatient));
  }

  /** What is kept, whatever its age: the item or its damage; undefined if nothing is. */
  kept(key: string): Found<T> | undefined {
    return this.#items.peek(key)?.kept;
  }

  /** Reads items again, unless they are fresh (or younger than `ageMs`) or final. Damage is kept and not thrown. */
  async renewAll(keys: Iterable<string>, ageMs = listFreshness.freshMs): Promise<void> {
    const rest = keys[Symbol.iterator]();
    let failed = false;
    const work = async (): Promise<void> => {
      for (let next = rest.next(); !next.done && !failed; next = rest.next()) {
        const entry = this.#entry(next.value);
        const { kept } = entry;
        const final = kept !== undefined && 'item' in kept && kept.item?.isFinal === true;
        if (!final && !entry.isYoungerThan(ageMs)) await entry.refresh();
      }
    };
    await Promise.all(
      Array.from({ length: widthOfAll }, () =>
        work().catch((error) => {
          failed = true;
          throw error;
        }),
      ),
    );
  }

  /** Keeps an item that another call has read or written. */
  saw(key: string, item: T): void {
    const entry = this.#entry(key);
    const { kept } = entry;
    const known = kept && 'item' in kept ? kept.item : undefined;
    if (known === undefined || known.uid !== item.uid || known.number <= item.number) entry.set({ item });
  }

  /** Makes the next list read the item anew: it may have been deleted, which a look for something newer would not show. */
  expire(key: string): void {
    this.#items.delete(key);
  }

  /** Ends the readings in progress. */
  close(): void {
    this.#closing.abort(new Error('the service is closing'));
  }

  #entry(key: string): Refreshed<Found<T>> {
    return this.#items.getOrMake(key, () => new Refreshed((kept) => this.#limiter.run(() => this.#read(key, kept)), listFreshness));
  }

  async #read(key: string, kept: Found<T> | undefined): Promise<Found<T>> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(readingMs)]);
    signal.throwIfAborted();
    try {
      return { item: await this.#options.read(key, kept && 'item' in kept ? kept.item : undefined, signal) };
    } catch (error) {
      if (damageOf(error) === undefined) throw error;
      return { error: error as Error };
    }
  }
}

function unwrap<T>(found: Found<T>): T | undefined {
  if ('error' in found) throw found.error;
  return found.item;
}
