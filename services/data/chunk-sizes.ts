/** Sizes of chunks that suit the reader: a chunk is only known to be taken when all of it was taken, so slow readers get small ones. */
import { CHUNK_BYTES } from '#data/client/batch-message.js';
import type { Outgoing } from '#rpc/handlers.js';

const FIRST_BYTES = 1 << 16;
const LEAST_BYTES = 1 << 14;
/** Milliseconds in which a fast reader takes a chunk, and those that only a slow one needs. */
const FAST_MS = 100;
const SLOW_MS = 1000;

/** Returns a function that gives the size of the next chunk, to be called when there is room for it. */
export function chunkSizes(outgoing: Outgoing, clock: () => number = () => performance.now()): () => number {
  let bytes = FIRST_BYTES;
  let [taken, at] = [outgoing.taken, clock()];
  return () => {
    const now = clock();
    const waited = now - at;
    if (waited > SLOW_MS) bytes = Math.max(LEAST_BYTES, bytes / 2);
    else if (waited < FAST_MS && outgoing.taken > taken) bytes = Math.min(CHUNK_BYTES, bytes * 2);
    [taken, at] = [outgoing.taken, now];
    return bytes;
  };
}
