/**
 * What work wants of workers without work of their own, by its log and by what its owner tells with its signs of life. Hints in the queue only save reading
 * this: any process may lose one, or leave one behind.
 */
import { type GroupOffer, readOffer } from '#storage/lease.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Standing } from './claimed-log.js';
import type { HintKind } from './queue-hints.js';

/** What an owner tells: that more members may join, that it waits for some, or that it takes none. */
export type Wish = Extract<HintKind, 'join' | 'need'> | 'none';

export function wishOf(offer: GroupOffer | undefined): Wish {
  if (offer === undefined || offer.wants < 1) return 'none';
  return (offer.needs ?? 0) > 0 ? 'need' : 'join';
}

/** @param standing undefined for work that is gone @throws errors of the store; the signal's reason */
export async function wantedOf(
  standing: Standing | undefined,
  { store, heartbeatPrefix }: { readonly store: ObjectStore; readonly heartbeatPrefix: string },
  signal: AbortSignal,
): Promise<HintKind | 'none'> {
  if (standing === undefined || standing.state === 'over') return 'none';
  if (standing.state === 'waiting') return 'claim';
  return wishOf(await readOffer(store, heartbeatPrefix, standing.fence, signal));
}
