/** A page of a list whose items are read one by one, side by side. An item that is damaged is named with the reason; the others are shown. */
import { Limiter } from '#bounds/limiter.js';
import { turns } from '#bounds/pieces.js';
import { DataLoss, DomainError, FailedPrecondition } from '#errors/errors.js';
import { hidePlaces } from '#errors/hide-places.js';
import { type UnreadableResource, UnreadableResource as UnreadableResourceMessage } from '#protocol/dropstream/v1/resource_types.js';
import { mapLowerErrors } from './map-lower-errors.js';
import { nextPageToken, type Page } from './pagination.js';

/** Number of items that are read at the same time. */
const width = 16;
/** Number of items after which the event loop may get a turn: those that are kept in memory do not give it one. */
const stretch = 64;
/** Largest size of a page: gRPC clients accept answers of at most 4 MiB by default. The rest is for the token and the lengths of the items. */
const maxPageBytes = (4 << 20) - (64 << 10);
/** Bytes of an item in an answer besides its own. */
const itemOverheadBytes = 8;

export interface ListedItems<K, T> {
  /** In the order of the list, after the key of the page. */
  readonly keys: AsyncIterable<K> | Iterable<K>;
  /** The resource's name, for one that is unreadable. */
  readonly nameOf: (key: K) => string;
  /** What a page token contains: the place of the key in the list. */
  readonly placeOf: (key: K) => string;
  /** Undefined if there is no such item any more, or the list does not show it. */
  readonly read: (key: K) => Promise<T | undefined>;
  /** Largest size of an item as a message. A page ends early where the next item would make it too long for gRPC's default limit. */
  readonly bytesOf: (item: T) => number;
  /** See parsePage. */
  readonly page: Page;
  readonly binding: string;
}

export interface ListedPage<T> {
  readonly items: T[];
  readonly unreadable: UnreadableResource[];
  readonly nextPageToken: string;
}

/**
 * Reads keys and their items until the page is full. Items that are unreadable count too, so that a page is bounded whatever is damaged. A page has at
 * least one item, however long it is, so that whoever reads all pages comes to an end.
 * @throws what `keys` and `read` throw, except for damage
 */
export async function listPage<K, T>({ keys, nameOf, placeOf, read, bytesOf, page, binding }: ListedItems<K, T>): Promise<ListedPage<T>> {
  const limiter = new Limiter(width);
  const found: { readonly key: K; readonly item: T | { readonly damage: string } }[] = [];
  const turn = turns();
  const readAll = async (batch: readonly K[]): Promise<void> => {
    for (let from = 0; from < batch.length; from += stretch, await turn()) {
      const keys = batch.slice(from, from + stretch);
      const items = await Promise.all(keys.map((key) => limiter.run(() => readOrDamage(() => read(key)))));
      for (const [k, item] of items.entries()) if (item !== undefined) found.push({ key: keys[k]!, item });
    }
  };
  // One more than requested is read, to know whether there is a next page.
  const wanted = page.size + 1;
  let batch: K[] = [];
  for await (const key of keys) {
    batch.push(key);
    if (batch.length < Math.max(width, wanted - found.length)) continue;
    await readAll(batch);
    batch = [];
    if (found.length >= wanted) break;
  }
  await readAll(batch);
  const items: T[] = [];
  const unreadable: UnreadableResource[] = [];
  let last: K | undefined;
  let bytes = 0;
  for (const { key, item } of found.slice(0, page.size)) {
    const damaged = isDamage(item) ? { name: nameOf(key), reason: item.damage } : undefined;
    bytes += itemOverheadBytes + (damaged ? UnreadableResourceMessage.encode(damaged).finish().length : bytesOf(item as T));
    if (bytes > maxPageBytes && last !== undefined) break;
    if (damaged) unreadable.push(damaged);
    else items.push(item as T);
    last = key;
    if (items.length % stretch === 0) await turn();
  }
  const isLast = found.length === items.length + unreadable.length;
  return { items, unreadable, nextPageToken: isLast || last === undefined ? '' : nextPageToken(placeOf(last), binding) };
}

/**
 * Why a resource cannot be read, as a sentence: it is damaged, or another version stored it. Undefined for an error that says nothing about the
 * resource.
 */
export function damageOf(error: unknown): string | undefined {
  const known = error instanceof DomainError ? error : mapLowerErrors(error);
  return known instanceof DataLoss || known instanceof FailedPrecondition ? hidePlaces(known.message) : undefined;
}

/** What `read` resolves to, or the damage that it found. */
export async function readOrDamage<T>(read: () => Promise<T>): Promise<T | { readonly damage: string }> {
  try {
    return await read();
  } catch (error) {
    const damage = damageOf(error);
    if (damage === undefined) throw error;
    return { damage };
  }
}

export function isDamage<T>(found: T | { readonly damage: string }): found is { readonly damage: string } {
  return typeof found === 'object' && found !== null && 'damage' in found;
}
