/** A page of a list whose items are read one by one, side by side. An item that is damaged is named with the reason; the others are shown. */
import { Limiter } from '#bounds/limiter.js';
import { DataLoss, DomainError, FailedPrecondition } from '#errors/errors.js';
import type { UnreadableResource } from '#protocol/dropstream/v1/resource_types.js';
import { mapLowerErrors } from './map-lower-errors.js';
import { nextPageToken, type Page } from './pagination.js';

/** Number of items that are read at the same time. */
const width = 16;

export interface ListedItems<K, T> {
  /** In the order of the list, after the key of the page. */
  readonly keys: AsyncIterable<K> | Iterable<K>;
  /** The resource's name, for one that is unreadable. */
  readonly nameOf: (key: K) => string;
  /** What a page token contains: the place of the key in the list. */
  readonly placeOf: (key: K) => string;
  /** Undefined if there is no such item any more, or the list does not show it. */
  readonly read: (key: K) => Promise<T | undefined>;
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
 * Reads keys and their items until the page is full. Items that are unreadable count too, so that a page is bounded whatever is damaged.
 * @throws what `keys` and `read` throw, except for damage
 */
export async function listPage<K, T>({ keys, nameOf, placeOf, read, page, binding }: ListedItems<K, T>): Promise<ListedPage<T>> {
  const limiter = new Limiter(width);
  const found: { readonly key: K; readonly item: T | { readonly damage: string } }[] = [];
  const readAll = async (batch: readonly K[]): Promise<void> => {
    const items = await Promise.all(batch.map((key) => limiter.run(() => readOrDamage(() => read(key)))));
    for (const [k, item] of items.entries()) if (item !== undefined) found.push({ key: batch[k]!, item });
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
  const shown = found.slice(0, page.size);
  const items: T[] = [];
  const unreadable: UnreadableResource[] = [];
  for (const { key, item } of shown) {
    if (isDamage(item)) unreadable.push({ name: nameOf(key), reason: item.damage });
    else items.push(item);
  }
  const last = shown.at(-1);
  return { items, unreadable, nextPageToken: last && found.length > shown.length ? nextPageToken(placeOf(last.key), binding) : '' };
}

/**
 * Why a resource cannot be read, as a sentence: it is damaged, or another version stored it. Undefined for an error that says nothing about the
 * resource.
 */
export function damageOf(error: unknown): string | undefined {
  const known = error instanceof DomainError ? error : mapLowerErrors(error);
  return known instanceof DataLoss || known instanceof FailedPrecondition ? known.message : undefined;
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
