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

/** For work that awaits only what is there already. The function that it returns gives the event loop a turn if the last one was `turnMs` or more ago. */
export function turns(turnMs = 5): () => Promise<void> {
  let begun = performance.now();
  return async () => {
    if (performance.now() - begun < turnMs) return;
    await setImmediate();
    begun = performance.now();
  };
}

/** Gives the event loop a turn after the piece that ends `turnMs` milliseconds or more after the last turn. */
export async function inTurns<T>(work: Pieces<T>, turnMs = 5): Promise<T> {
  for (const turn = turns(turnMs); ; await turn()) {
    const { done, value } = work.next();
    if (done) return value;
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
