import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { asChunks, type Bytes } from './object-store.js';

/** Hashed at a stretch before other events get their turn: about 10 ms. */
const STRETCH_BYTES = 8 << 20;

/** SHA-256 in hexadecimal of any number of bytes, without keeping the event loop. */
export async function sha256Of(bytes: Bytes, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  let sinceTurn = 0;
  for (const chunk of asChunks(bytes)) {
    for (let at = 0; at < chunk.byteLength; at += STRETCH_BYTES) {
      const piece = chunk.subarray(at, at + STRETCH_BYTES);
      hash.update(piece);
      sinceTurn += piece.byteLength;
      if (sinceTurn >= STRETCH_BYTES) {
        sinceTurn = 0;
        await nextTurn();
        signal?.throwIfAborted();
      }
    }
  }
  return hash.digest('hex');
}
