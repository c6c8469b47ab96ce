/** SHA-256 of many bytes without holding the event loop: about 5 ms of hashing, then others get their turn. */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

const BYTES_PER_TURN = 4 << 20;

/** @throws the signal's reason */
export async function sha256(bytes: Uint8Array, signal?: AbortSignal): Promise<Buffer> {
  const hash = createHash('sha256');
  for (let at = 0; at < bytes.byteLength; at += BYTES_PER_TURN) {
    if (at > 0) {
      await nextTurn();
      signal?.throwIfAborted();
    }
    hash.update(bytes.subarray(at, at + BYTES_PER_TURN));
  }
  return hash.digest();
}
