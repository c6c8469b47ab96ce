/** Long computations in pieces, so that the event loop gets its turns between them. A piece should take a few milliseconds at most. */
import { setImmediate } from 'node:timers/promises';

/** A computation that yields between its pieces and returns its result. */
export type Pieces<T> = Generator<void, T, void>;

/** Computes all pieces in one turn. */
export function atOnce<T>(work: Pieces<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

/** Gives the event loop a turn after the piece that ends `turnMs` milliseconds or more after the last turn. */
export async function inTurns<T>(work: Pieces<T>, turnMs = 5): Promise<T> {
  for (let begun = performance.now(); ; ) {
    const { done, value } = work.next();
    if (done) return value;
    if (performance.now() - begun < turnMs) continue;
    await setImmediate();
    begun = performance.now();
  }
}

/** `items.map(one)`, with a piece for every `most` items. */
export function* mapInPieces<A, B>(items: readonly A[], one: (item: A) => B, most = 64): Pieces<B[]> {
  const results: B[] = [];
  for (const item of items) {
    results.push(one(item));
    if (results.length % most === 0) yield;
  }
  return results;
}
